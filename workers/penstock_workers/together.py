"""Calls of one batch that share an instance, by the batch entry point of their plugin.

What comes of a call must be what it gives in an instance of its own, so a group of calls is a quick way to
successes and to nothing else. Together its calls have the limits of one: if all of them kept within these,
so would each. A group that traps, takes too long or breaks another limit is halved, in fresh instances, until
the guilty call is alone; a call whose answer is an error, or cannot be believed, runs alone as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ToolError
from penstock_plugins.result import ToolFailure
from penstock_workers.outcome import Outcome

if TYPE_CHECKING:
    from penstock_plugins.policy import Grants
    from penstock_plugins.tool import Tool
    from penstock_workers.executor import PreparedTool
    from penstock_workers.plugin import WarmPlugin

#: Calls of the first group, and of any.
FIRST_CALLS = 8
MAX_CALLS = 64
#: The smallest group that is one.
_PAIR = 2
#: Bytes of a group's params: few enough for memory that stays mapped. A call that has more is alone.
MAX_PARAMS_BYTES = 64 * 1024
#: Seconds that a group should take: readers see progress, and a cancel or a stop is looked for in between.
TARGET_S = 0.05
#: Seconds after which a group is given up, however much time one call has. Before that it may be so many
#: times as slow as expected, and on a busy machine stand still for a moment.
LONGEST_S = 1.0
SLACK = 20
LEAST_S = 0.25
#: Halvings of one group; what is left of it then runs call by call. One guilty call of 64 takes six.
MAX_SPLITS = 12
#: Groups that were not worth it (most of it errors, too many halvings, a pair that took too long), after
#: which every call runs alone.
MAX_BAD_GROUPS = 2

#: Capabilities whose use is the same for a group as for each of its calls, or is noticed.
_HARMLESS = frozenset({"log", "env"})


def may_run_together(plugin: WarmPlugin, tool: Tool, grants: Grants) -> bool:
    """Whether calls of a tool may share an instance: its author says so, and nothing tells the difference."""
    table = plugin.manifest.tool_table(tool.name)
    asks = table is not None and table.batch_entry_point and plugin.has_batch_entry_point
    return asks and reason_to_run_alone(plugin, tool, grants) is None


def reason_to_run_alone(plugin: WarmPlugin, tool: Tool, grants: Grants) -> str | None:
    """Why calls of a tool must not share an instance, whatever its author says."""
    if not tool.traits.idempotent:
        return "it is not idempotent, and a group that fails is run again in parts"
    if grants.limits.fuel is not None:
        return "fuel is counted for each call"
    if plugin.uses_wasi:
        return "clocks and random numbers may be frozen, and begin anew in each instance"
    if unfit := grants.capabilities - _HARMLESS:
        return f"what is done with the capability {', '.join(sorted(unfit))} is counted for each call"
    return None


@dataclass(slots=True)
class Pace:
    """What the groups of a tool's calls have shown so far; calls that come later go on from there."""

    #: Calls of the next group.
    size: int = field(default_factory=lambda: FIRST_CALLS)
    #: Seconds that one took in the last group.
    call_s: float | None = None
    #: Groups that were not worth it.
    bad_groups: int = 0


class TogetherCalls:
    """The calls of one batch, in groups. They are asked for in order; what a group found out is kept."""

    def __init__(
        self,
        prepared: PreparedTool,
        params_json: Sequence[str | bytes],
        *,
        checked: Callable[[int], bytes] | None = None,
        pace: Pace | None = None,
        may_run: Callable[[int], bool] = lambda _: True,
    ) -> None:
        """
        Args:
            prepared: the tool.
            params_json: of each call.
            checked: gives those of a call as the guest gets them, or raises as `PreparedTool.checked` does.
                None: that does.
            pace: of calls before these.
            may_run: whether a call may be run before it is asked for.
        """
        self._prepared = prepared
        self._params = params_json
        self._checked = checked or (lambda index: prepared.checked(params_json[index]))
        self._may_run = may_run
        #: Calls that are looked at so far, and the checked params of those that are not done.
        self._seen = 0
        self._args: dict[int, bytes] = {}
        self._known: dict[int, Outcome] = {}
        #: Groups that wait for their turn, the next one last.
        self._groups: list[list[int]] = []
        self._pace = Pace() if pace is None else pace
        self._splits = 0

    def knows(self, index: int) -> bool:
        """Whether the outcome of a call is known without running anything."""
        return index in self._known

    def invoke(self, index: int, *, token: str, timeout_s: float | None = None) -> Outcome:
        """The outcome of a call, by running it or the group that it is in. See `PreparedTool.invoke`."""
        if index >= self._seen and self._prepared.runs_together and self._pace.bad_groups < MAX_BAD_GROUPS:
            self._look_ahead(index)
        while index not in self._known:
            group = self._group_from(index)
            if len(group) < 2 or (timeout_s is not None and timeout_s <= 0):
                self._args.pop(index, None)
                return self._prepared.invoke(self._params[index], token=token, timeout_s=timeout_s)
            failure = self._run(group, token, timeout_s)
            if failure is not None and failure.code is ErrorCode.CANCELLED:
                # Of this call, that is: its neighbours may be those of other jobs.
                self._groups.append(group[1:])
                return Outcome(failure=failure)
        self._args.pop(index, None)
        return self._known.pop(index)

    def invoke_next(self, index: int, *, token: str, timeout_s: float | None = None) -> list[Outcome]:
        """The outcome of a call, and those of the calls after it that are known with it."""
        outcomes = [self.invoke(index, token=token, timeout_s=timeout_s)]
        known, args = self._known, self._args
        while (found := known.pop(index := index + 1, None)) is not None:
            args.pop(index, None)
            outcomes.append(found)
        return outcomes

    def _group_from(self, index: int) -> list[int]:
        """The group that begins with a call; none when it is to run alone."""
        while self._groups and self._groups[-1][0] <= index:
            group = [later for later in self._groups.pop() if later >= index]
            if group and group[0] == index:
                return group
            if group:
                # The call before it was not asked for after all.
                self._groups.append(group)
                break
        return []

    def _look_ahead(self, index: int) -> None:
        """Form the next group, and check the params of its calls."""
        self._splits = 0
        group: list[int] = []
        left_bytes = MAX_PARAMS_BYTES
        self._seen = index
        while len(group) < self._pace.size and self._seen < len(self._params):
            if self._may_run(self._seen):
                args = self._check(self._seen)
                if args is not None:
                    left_bytes -= len(args)
                    if left_bytes < 0 and group:
                        break
                    self._args[self._seen] = args
                    group.append(self._seen)
            self._seen += 1
        self._groups = [group] if group else []

    def _check(self, index: int) -> bytes | None:
        """The params as the guest gets them; a call whose params are refused is known."""
        begun_at = time.perf_counter()
        try:
            return self._checked(index)
        except ToolError as error:
            took_s = time.perf_counter() - begun_at
            self._known[index] = Outcome(
                failure=ToolFailure.from_exception(error),
                execution_s=took_s,
            )
            return None

    def _run(self, group: list[int], token: str, timeout_s: float | None) -> ToolFailure | None:
        """Run a group, or halve it. Returns what ended its instance."""
        begun_at = time.perf_counter()
        contents = self._prepared.try_together(
            [self._args[index] for index in group], token=token, timeout_s=self._time_of(group, timeout_s)
        )
        took_s = time.perf_counter() - begun_at
        if isinstance(contents, ToolFailure):
            if contents.code is not ErrorCode.CANCELLED:
                self._halve(group, contents)
            return contents
        share_s = max(took_s / len(group), 1e-6)
        for index, content in zip(group, contents, strict=True):
            if content is not None:
                text, data = content
                metadata = {"batched": len(group)}
                self._known[index] = Outcome(content=text, data=data, metadata=metadata, execution_s=share_s)
        self._pace.call_s = share_s
        self._pace.size = max(
            _PAIR, min(MAX_CALLS, 4 * max(len(group), self._pace.size), int(TARGET_S / share_s))
        )
        if contents.count(None) * 2 > len(group):
            self._note_bad_group()
        return None

    def _time_of(self, group: list[int], timeout_s: float | None) -> float:
        expected_s = (
            LONGEST_S if self._pace.call_s is None else SLACK * self._pace.call_s * len(group) + LEAST_S
        )
        longest_s = min(LONGEST_S, expected_s)
        return longest_s if timeout_s is None else min(longest_s, timeout_s)

    def _halve(self, group: list[int], failure: ToolFailure) -> None:
        self._splits += 1
        if failure.code is ErrorCode.INIT_FAILED or self._splits > MAX_SPLITS:
            self._groups.clear()
            self._note_bad_group()
            return
        if failure.code is ErrorCode.TIMEOUT:
            self._pace.size = max(_PAIR, min(self._pace.size, len(group) // 2))
            if len(group) == _PAIR:
                self._note_bad_group()
        middle = (len(group) + 1) // 2
        self._groups += [group[middle:], group[:middle]]

    def _note_bad_group(self) -> None:
        self._pace.bad_groups += 1
