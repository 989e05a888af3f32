"""Fan-outs: the members that items make, as flows of their own, and how they are gathered again.

Members of all items of a flow travel together, so many to a flow that there is work for several workers and
not a message for each. Which member is where follows from the items alone: making them again gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from penstock_broker_config import crash
from penstock_broker_config.ledger import END, Advance, FlowClaim, Member, member_flow
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import EnvelopeError
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.program import Op
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.pipelines.trace_cut import trace_json
from penstock_plugins.result import ToolFailure
from penstock_workers.bench import Bench
from penstock_workers.patience import patiently
from penstock_workers.pipelines.given_up import FlowLostError
from penstock_workers.pipelines.states import States
from penstock_workers.pipelines.work import FlowWork

#: Flows that a fan-out makes of one program if it can, and how many members travel in one at most.
FLOWS, MOST_IN_ONE = 8, 256


@dataclass(frozen=True, slots=True)
class _Made:
    """A member: the position of its item in the flow, its own position in the fan-out, and its state."""

    position: int
    index: int
    #: As JSON. Empty, when it is only to be known which member is where.
    state: bytes


@dataclass(frozen=True, slots=True)
class MemberFlow:
    """Members of one program that travel together."""

    program: int
    made: Sequence[_Made]


def make_members(work: FlowWork, positions: Sequence[int]) -> list[MemberFlow]:
    """The members that items at a FAN make, in flows. Those items then stand at what gathers them."""
    found: list[tuple[int, _Made]] = []
    for position in positions:
        work.check()
        item, trace = work.item(position), work.traces[position]
        try:
            found += [
                (program, _Made(position, index, _state(work, program, index, given)))
                for index, (program, given) in enumerate(work.machine.members(item, trace) or ())
            ]
        except orjson.JSONEncodeError as error:  # nested too deep: it was made in this stage
            failure = ToolFailure(
                code=ErrorCode.PIPELINE_ERROR, message=f"A member cannot be written as JSON: {error}"
            )
            work.machine.fail(item, failure, trace)
    return _in_flows(found)


def _state(work: FlowWork, program: int, index: int, given: Any) -> bytes:
    reads = work.compiled.programs[program].program.reads_input
    return orjson.dumps(ItemState.fresh(given, reads_input=reads, index=index).to_json())


def _in_flows(found: Sequence[tuple[int, _Made]]) -> list[MemberFlow]:
    by_program: dict[int, list[_Made]] = {}
    for program, made in found:
        by_program.setdefault(program, []).append(made)
    return [
        MemberFlow(program, made[start : start + size])
        for program, made in sorted(by_program.items())
        for size in [min(MOST_IN_ONE, -(-len(made) // FLOWS))]
        for start in range(0, len(made), size)
    ]


def made_before(work: FlowWork) -> list[MemberFlow]:
    """The members of a fan-out that is to be gathered, as `make_members` made them."""
    waiting = [
        position
        for position, item in work.with_status(ItemStatus.RUNNING)
        if work.machine.program.code[item.pc].op is Op.GATHER
    ]
    found: list[tuple[int, _Made]] = []
    for position in waiting:
        item = work.item(position)
        item.pc -= 1
        members = work.machine.members(item, []) or ()
        found += [(program, _Made(position, index, b"")) for index, (program, _) in enumerate(members)]
    return _in_flows(found)


class FanOuts:
    """Plants members, and reads what they gave back."""

    def __init__(self, bench: Bench, states: States) -> None:
        self._bench = bench
        self._states = states

    def plant(self, work: FlowWork, flows: Sequence[MemberFlow]) -> None:
        """Have the ledger keep members, until the flow advances.

        Raises:
            FlowLostError: the flow is not ours any more.
        """
        members, base = [], 0
        for number, one in enumerate(flows):
            program = work.compiled.programs[one.program]
            first = program.steps[0]
            flow = member_flow(work.flow, work.stage, number)
            states = [made.state for made in one.made]
            members.append(
                Member(
                    program=one.program,
                    items=len(states),
                    state=self._states.seal(flow, first.stage, one.program, states),
                    first=first,
                    base=base,
                )
            )
            base += len(states)
        crash.reach("worker.before_plant")
        word = patiently(lambda: self._bench.ledger.plant(work.of, members))
        crash.reach("worker.after_plant")
        if word is not Advance.OK:
            raise FlowLostError

    def sealed(
        self,
        flow: str,
        claim: FlowClaim,
        now_ms: int,
        states: Sequence[bytes],
        traces: Sequence[Sequence[Trace]],
    ) -> bytes:
        """What a member's end is: its items with their whole traces, and from when to when it ran."""
        entries = [
            b'{"i":%b,"t":%b}' % (state, trace_json([entry for one in trace for entry in one]))
            for state, trace in zip(states, traces, strict=True)
        ]
        times = orjson.dumps({"began": claim.created_ms, "ended": now_ms})
        return self._states.seal(flow, END, claim.program, [times, *entries])

    def gather(self, work: FlowWork) -> None:
        """Tell the machine what the members of each item gave.

        Raises:
            EnvelopeError, ValueLostError: what they gave is damaged, or gone.
        """
        fan = str(work.planned().number - 1)
        flows = made_before(work)
        found = patiently(lambda: self._bench.ledger.members(work.flow, fan, len(flows)))
        ended: dict[int, dict[int, tuple[ItemState, Trace]]] = {}
        began_ms, ended_ms = work.claim.now_ms, 0
        for number, (one, sealed) in enumerate(zip(flows, found, strict=True)):
            if sealed is None:
                raise EnvelopeError("What a member of the fan-out gave is gone")
            flow = member_flow(work.flow, fan, number)
            times, *entries = self._states.unseal(flow, END, one.program, sealed)
            try:
                began_ms, ended_ms = min(began_ms, times["began"]), max(ended_ms, times["ended"])
                for made, entry in zip(one.made, entries, strict=True):
                    state = ItemState.from_json(entry["i"])
                    ended.setdefault(made.position, {})[made.index] = state, entry["t"]
            except (KeyError, TypeError, ValueError) as error:
                raise EnvelopeError("What a member of the fan-out gave is damaged") from error
        for position, item in work.with_status(ItemStatus.RUNNING):
            if work.machine.program.code[item.pc].op is not Op.GATHER:
                continue
            members = [one for _, one in sorted(ended.get(position, {}).items())]
            work.machine.gather(
                item,
                [state for state, _ in members],
                [trace for _, trace in members],
                work.traces[position],
                duration_ms=float(max(0, ended_ms - began_ms)),
            )
