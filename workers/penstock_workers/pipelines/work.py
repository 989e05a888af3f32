"""A flow at one stage, held by this process: its items, and what the stage adds to their traces."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock_broker_config.flow_traces import Added
from penstock_broker_config.ledger import FlowClaim, InnerOf, ItemRecord, run_of
from penstock_plugins.errors import EnvelopeError
from penstock_plugins.pipelines.hooks import NO_HOOKS, Hooks, StepNote
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.item_check import check_item
from penstock_plugins.pipelines.machine import Machine
from penstock_plugins.pipelines.machine_ending import Look
from penstock_plugins.pipelines.stages import Stage
from penstock_plugins.pipelines.trace import Trace
from penstock_workers.lease import Hold
from penstock_workers.pipelines.given_up import FlowLostError, GiveBackError
from penstock_workers.pipelines.plans import CompiledPlan, CompiledProgram


class Settled(NamedTuple):
    """What is recorded of an item that ended."""

    record: ItemRecord
    #: From where another run may go on, sealed. Empty: there is nothing to go on with.
    resume: bytes


@dataclass(slots=True, kw_only=True)
class FlowWork:
    """One stage of a flow on its way."""

    flow: str
    #: As the ledger names it.
    stage: str
    claim: FlowClaim
    hold: Hold
    compiled: CompiledPlan
    #: By position; None: it has ended, and its result is recorded.
    items: list[ItemState | None]
    #: What this stage adds, by position.
    traces: list[Trace] = field(default_factory=list)
    #: Items that ended in this stage and of which nothing is left but what is recorded, by position.
    settled: dict[int, Settled] = field(default_factory=dict)
    #: What the steps of those add to the counters.
    counters: Counter[str] = field(default_factory=Counter)
    #: What the stages before have added to the traces, where somebody has asked.
    earlier: list[Added] | None = None
    #: When the stage was entered, by the monotonic clock.
    entered_at: float = field(default_factory=time.monotonic)
    #: Who looks in between steps.
    hooks: Hooks = NO_HOOKS
    #: What takes the items through their program.
    machine: Machine = field(init=False)

    def __post_init__(self) -> None:
        if not self.traces:
            self.traces = [[] for _ in self.items]
        self.machine = self.program.machine
        if self.hooks is not NO_HOOKS:
            self.machine = Machine(self.program.program, look=self._looking_in())

    @property
    def run(self) -> str:
        """The run that it belongs to."""
        return run_of(self.flow)

    @property
    def is_member(self) -> bool:
        """Whether it is a member of a fan-out."""
        return self.claim.parent != ""

    @property
    def program(self) -> CompiledProgram:
        """The program that its items go through.

        Raises:
            EnvelopeError: its plan has no such program.
        """
        programs, number = self.compiled.programs, self.claim.program
        if not 0 <= number < len(programs):
            raise EnvelopeError(f"The flow is of program {number}, and its plan has {len(programs)}")
        return programs[number]

    @property
    def of(self) -> InnerOf:
        """What the ledger asks for before it takes anything from us."""
        return InnerOf(self.flow, self.stage, self.claim.fence)

    def item(self, position: int) -> ItemState:
        """The item at a position, which has not ended before."""
        item = self.items[position]
        if item is None:
            raise ValueError(f"the item at {position} of {self.flow} has ended")
        return item

    def planned(self) -> Stage:
        """The stage, when it is none of undoing.

        Raises:
            EnvelopeError: its program has no such stage.
        """
        stages = self.program.stages
        if not self.stage.isdigit() or int(self.stage) >= len(stages):
            raise EnvelopeError(f"The flow is at stage {self.stage[:20]} of a program of {len(stages)}")
        return stages[int(self.stage)]

    def check_items(self) -> None:
        """Look whether the items can be where they say, and are whose the plan says.

        Raises:
            EnvelopeError: one of them cannot, or is not.
        """
        if self.compiled.plan.context.get("tenant", self.claim.tenant) != self.claim.tenant:
            raise EnvelopeError("The run's tenant is not the one that its plan was signed for")
        program, tools = self.program.program, len(self.compiled.plan.tools)
        for item in self.items:
            if item is not None:
                check_item(item, program, tools)

    def with_status(self, status: ItemStatus) -> Iterator[tuple[int, ItemState]]:
        """Position and item of all that stand so."""
        for position, item in enumerate(self.items):
            if item is not None and item.status is status:
                yield position, item

    def left_s(self) -> float | None:
        """Seconds to the run's deadline. None: it has none."""
        if self.claim.deadline_ms is None:
            return None
        return (self.claim.deadline_ms - self.now_ms()) / 1000

    def now_ms(self) -> int:
        """Redis's clock, as far as we know."""
        return self.claim.now_ms + int((time.monotonic() - self.entered_at) * 1000)

    def check(self) -> float | None:
        """Look whether to go on; returns what `left_s` says.

        Raises:
            FlowLostError: the keeper's threads have heard that the flow is not ours any more.
            GiveBackError: the run's time is over.
        """
        if self.hold.ended is not None:
            raise FlowLostError
        if self.claim.deadline_ms is None:
            return None
        left_s = self.left_s()
        if left_s is not None and left_s <= 0:
            raise GiveBackError
        return left_s

    def _looking_in(self) -> Look:
        indexes = {
            id(item): item.index if self.is_member else self.claim.base + position
            for position, item in enumerate(self.items)
            if item is not None
        }

        def look(item: ItemState, step: str) -> bool:
            note = StepNote(run=self.run, index=indexes[id(item)], step=step, data=item.data)
            self.hooks.between_steps(note)
            return self.hooks.should_end(note)

        return look
