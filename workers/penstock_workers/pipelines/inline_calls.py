"""Pure calls, run right here under the flow's lease: nothing is recorded until their stage is done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import CatalogError, CompileError, ToolError
from penstock_plugins.pipelines.hooks import NO_HOOKS, CallNote
from penstock_plugins.pipelines.program import Instruction
from penstock_plugins.result import ToolFailure
from penstock_workers.bench import Bench
from penstock_workers.executor import PreparedTool
from penstock_workers.outcome import Outcome
from penstock_workers.pipelines.asking import Asked, ask
from penstock_workers.pipelines.given_up import GiveBackError
from penstock_workers.pipelines.work import FlowWork
from penstock_workers.together import LONGEST_S, Pace, TogetherCalls


class InlineCalls:
    """Runs the calls of one stage in this process."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._prepared: dict[tuple[int, float | None], PreparedTool | ToolFailure] = {}
        #: By instruction.
        self._paces: defaultdict[int, Pace] = defaultdict(Pace)

    def run(self, work: FlowWork, instruction: Instruction, positions: Sequence[int]) -> None:
        """See `Calls.run`.

        Raises:
            FlowLostError, GiveBackError: the work ends here.
        """
        asked = ask(work, positions)
        if not asked.calls:
            return
        tool = work.compiled.plan.tools[instruction.tool]
        prepared = self._prepare(work, instruction)
        traces = work.traces
        if isinstance(prepared, ToolFailure):
            outcomes = self._refused(work, asked, prepared)
        elif prepared.runs_together:
            outcomes = self._together(work, asked, prepared, self._paces[instruction.at])
        else:
            outcomes = self._one_by_one(work, asked, prepared)
        if self._bench.hooks is not NO_HOOKS:
            outcomes = self._told(outcomes, work, tool.name)
        # All calls come first: what follows is quicker when no guest runs in between.
        ends = [
            (work.item(position), traces[position], params, one.data, one.failure, one.execution_s * 1000)
            for (position, params), one in zip(asked.calls, list(outcomes), strict=True)
        ]
        work.machine.calls_ended(instruction.at, ends)

    def _told(self, outcomes: Iterable[Outcome], work: FlowWork, tool: str) -> Iterator[Outcome]:
        """The outcomes, of each of which the hooks are told at once."""
        for outcome in outcomes:
            self._bench.hooks.after_call(CallNote(job=work.run, tool=tool, failure=outcome.failure))
            yield outcome

    @staticmethod
    def _refused(work: FlowWork, asked: Asked, why: ToolFailure) -> Iterator[Outcome]:
        for _ in asked.calls:
            work.check()
            yield Outcome(failure=why)

    def _one_by_one(self, work: FlowWork, asked: Asked, prepared: PreparedTool) -> Iterator[Outcome]:
        stopping, invoke = self._bench.stopping, prepared.invoke
        left_s, token = work.check(), work.hold.token
        for text in asked.texts:
            if stopping():
                raise GiveBackError
            outcome = invoke(text, token=token, timeout_s=left_s)
            # A call that was stopped with the flow has no result; and no other one begins then.
            left_s = work.check()
            yield outcome

    def _together(
        self, work: FlowWork, asked: Asked, prepared: PreparedTool, pace: Pace
    ) -> Iterator[Outcome]:
        left_s, token = work.check(), work.hold.token
        may_run = left_s is None or left_s >= LONGEST_S
        calls, texts = asked.calls, asked.texts
        together = TogetherCalls(
            prepared,
            texts,
            checked=lambda index: prepared.checked_own(calls[index][1], texts[index]),
            may_run=lambda _: may_run,
            pace=pace,
        )
        begun = 0
        while begun < len(asked.texts):
            if self._bench.stopping():
                raise GiveBackError
            outcomes = together.invoke_next(begun, token=token, timeout_s=left_s)
            begun += len(outcomes)
            left_s = work.check()
            yield from outcomes

    def _prepare(self, work: FlowWork, instruction: Instruction) -> PreparedTool | ToolFailure:
        key = instruction.tool, instruction.timeout_s
        if key not in self._prepared:
            tool = work.compiled.plan.tools[instruction.tool]
            prepare = self._bench.executor.prepare
            name = tool.name.partition(".")[2]
            try:
                self._prepared[key] = prepare(tool.digest, name, timeout_s=instruction.timeout_s)
            except ToolError as error:
                self._prepared[key] = ToolFailure.from_exception(error)
            except (CatalogError, CompileError) as error:
                self._prepared[key] = ToolFailure(code=ErrorCode.TOOL_NOT_READY, message=error.message)
        return self._prepared[key]
