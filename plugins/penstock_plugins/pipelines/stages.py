"""Stages: the stretches of a program that are one task each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.plan import Plan
from penstock_plugins.pipelines.program import Instruction, Op, Program

_LABEL_CHARS = 120


class StageKind(StrEnum):
    """What is done at a stage."""

    #: Pure calls, and steps that are no calls: all in the task itself.
    INLINE = "inline"
    #: One tool's calls, as a job of their own; and steps that are no calls.
    CALL = "call"
    #: A branch: the task replaces itself with the arms that are taken.
    ROUTE = "route"
    #: A fan-out: the task replaces itself with its members, and what gathers them.
    FAN = "fan"
    #: Gathers what the members gave.
    JOIN = "join"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Instructions `first` to `last` of a program."""

    number: int
    kind: StageKind
    first: int
    last: int
    #: Full name of the queue that its task is sent to.
    queue: str
    #: The row that Flower shows it in: its tool, or `PIPELINE:transform` and so on.
    label: str
    #: Number of the tool of a CALL stage in the plan.
    tool: int = -1
    #: Pure calls in it.
    calls: int = 0

    @property
    def name(self) -> str:
        """As the ledger and messages name it."""
        return str(self.number)


def stages_of(plan: Plan, program: Program) -> tuple[Stage, ...]:
    """The stages of a program, by their numbers."""
    grouping = _Grouping(plan)
    for instruction in program.code:
        grouping.add(instruction)
    return grouping.ended()


def stage_at(stages: tuple[Stage, ...], pc: int) -> Stage:
    """The stage that an instruction is in."""
    return stages[bisect_right([stage.first for stage in stages], pc) - 1]


def next_stage(stages: tuple[Stage, ...], items: Iterable[ItemState]) -> Stage | None:
    """The first stage that some item has to go to. None: none has."""
    waiting = [item.pc for item in items if item.status is ItemStatus.RUNNING]
    return stage_at(stages, min(waiting)) if waiting else None


class _Grouping:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stages: list[Stage] = []
        self._code: list[Instruction] = []
        self._kind = StageKind.INLINE

    def add(self, instruction: Instruction) -> None:
        op = instruction.op
        if op is Op.CALL:
            self._add_call(instruction)
        elif op is Op.BRANCH or op is Op.FAN:
            self._begin_or_join(StageKind.ROUTE if op is Op.BRANCH else StageKind.FAN)
            self._code.append(instruction)
            self._close()
        elif op is Op.GATHER:
            self._close()
            self._kind = StageKind.JOIN
            self._code.append(instruction)
        elif op in {Op.TRANSFORM, Op.FILTER} and not self._plan.fuse:
            self._close()
            self._code.append(instruction)
        else:
            self._code.append(instruction)

    def _add_call(self, instruction: Instruction) -> None:
        tool = self._plan.tools[instruction.tool]
        inline = tool.pure and not tool.waits and instruction.retry is None
        if not inline:
            self._begin_or_join(StageKind.CALL)
        elif self._kind is not StageKind.INLINE or not self._fits(tool.queue):
            self._close()
        self._code.append(instruction)

    def _begin_or_join(self, kind: StageKind) -> None:
        """What came before joins this stage, where that is nothing but steps that are no calls."""
        alone = self._kind is StageKind.INLINE and not self._calls()
        if not (self._plan.fuse and alone):
            self._close()
        self._kind = kind

    def _fits(self, queue: str) -> bool:
        if not self._plan.fuse:
            return all(one.op not in {Op.CALL, Op.TRANSFORM, Op.FILTER} for one in self._code)
        return all(self._plan.tools[one.tool].queue == queue for one in self._calls())

    def _calls(self) -> list[Instruction]:
        return [one for one in self._code if one.op is Op.CALL]

    def _close(self) -> None:
        if self._code:
            calls = self._calls()
            tool = self._plan.tools[calls[0].tool] if calls else None
            self._stages.append(
                Stage(
                    number=len(self._stages),
                    kind=self._kind,
                    first=self._code[0].at,
                    last=self._code[-1].at,
                    queue=self._plan.queue if tool is None else tool.queue,
                    label=self._label(calls),
                    tool=calls[0].tool if self._kind is StageKind.CALL else -1,
                    calls=len(calls),
                )
            )
        self._code, self._kind = [], StageKind.INLINE

    def _label(self, calls: list[Instruction]) -> str:
        names = list(dict.fromkeys(one.tool_name for one in calls))
        if len(names) == 1:
            return names[0]
        if names:
            return f"{self._plan.label}:{'+'.join(names)}"[:_LABEL_CHARS]
        kinds = [one.kind for one in self._code if one.kind]
        if self._kind is StageKind.JOIN:
            return f"{self._plan.label}:gather"
        return f"{self._plan.label}:{kinds[-1] if kinds else 'end'}"

    def ended(self) -> tuple[Stage, ...]:
        self._close()
        return tuple(self._stages)
