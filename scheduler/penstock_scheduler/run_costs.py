"""What an item of a run costs at the stage that takes longest: chunks are as large as that allows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from penstock_plugins.pipelines.program import Instruction, Op, Program
from penstock_scheduler.planning import Planned

#: Microseconds that a step costs beside its call: params, trace, record.
STEP_US = 8.0
#: What does a step's own work.
_WORK = frozenset({Op.CALL, Op.TRANSFORM, Op.FILTER, Op.BRANCH})


@dataclass(frozen=True, slots=True)
class _StageSteps:
    """Where the steps of one stage are in what was written."""

    #: Those that its items come to.
    own: tuple[str, ...]
    #: Those that work, and the steps of members, which are of other flows but of the same items.
    working: tuple[str, ...]
    #: What the ledger calls the tools of its calls, one for each call.
    tools: tuple[str, ...]

    @property
    def has_members(self) -> bool:
        """Whether there is a fan-out among them, which does no work of its own."""
        return not set(self.own) <= set(self.working)


class RunCosts:
    """Works costs out of what the run itself has counted, or else of what its tools cost."""

    def __init__(self, planned: Planned, *, first: int = 0) -> None:
        """
        Args:
            planned: what the items go through.
            first: number of the stage at which they begin.
        """
        self._stages: list[_StageSteps] = []
        for stage in planned.stages[first:]:
            code = planned.programs[0].code[stage.first : stage.last + 1]
            steps = [one for one in code if one.op in _WORK or one.op is Op.FAN]
            if steps:
                called = [planned.plan.tools[one.tool] for one in steps if one.op is Op.CALL]
                self._stages.append(
                    _StageSteps(
                        own=tuple(one.path for one in steps),
                        working=tuple(_work_of(steps, planned.programs)),
                        tools=tuple(f"{tool.digest}:{tool.name}" for tool in called),
                    )
                )

    @property
    def tools(self) -> list[str]:
        """Under what the ledger keeps the costs of the tools."""
        return list(dict.fromkeys(tool for stage in self._stages for tool in stage.tools))

    def of_item(self, counters: Mapping[str, int], tools_us: Mapping[str, float | None]) -> float | None:
        """Microseconds at the stage that takes longest. None: of some stage nothing is known.

        Args:
            counters: of the run's steps, as the ledger has them: `PATH|what` → how many.
            tools_us: what a call of each of `tools` takes. None: it was not measured.
        """
        costs = [_of_stage(stage, counters, tools_us) for stage in self._stages]
        known = [cost for cost in costs if cost is not None]
        return max(known) if known and len(known) == len(costs) else None


def _work_of(steps: Iterable[Instruction], programs: Sequence[Program]) -> list[str]:
    """The paths of steps that work, members' included."""
    paths = []
    for one in steps:
        if one.op in _WORK:
            paths.append(one.path)
        elif one.op is Op.FAN:
            for number in one.programs:
                paths += _work_of(programs[number].code, programs)
    return paths


def _of_stage(
    stage: _StageSteps, counters: Mapping[str, int], tools_us: Mapping[str, float | None]
) -> float | None:
    # Nobody else measures calls that run in the stage's own task.
    came = max(counters.get(f"{path}|in", 0) for path in stage.own)
    if came:
        took_us = sum(counters.get(f"{path}|us", 0) for path in stage.working)
        beside_us = STEP_US * sum(counters.get(f"{path}|in", 0) for path in stage.working)
        return (took_us + beside_us) / came
    each = [tools_us[tool] for tool in stage.tools]
    if stage.has_members or None in each:
        return None
    return sum(cost or 0.0 for cost in each) + STEP_US * len(stage.working)
