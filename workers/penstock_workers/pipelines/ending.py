"""Says to the ledger that a stage is done: what goes on and where to, what has ended and how."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from penstock_broker_config import crash
from penstock_broker_config.flow_traces import added
from penstock_broker_config.ledger import (
    Advance,
    Advanced,
    FlowClaim,
    FlowStep,
    ItemRecord,
    RecordKind,
    StageDone,
)
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.stages import next_stage
from penstock_plugins.result import ToolFailure, to_record
from penstock_workers.bench import Bench
from penstock_workers.patience import patiently
from penstock_workers.pipelines.answers import Fan, StepAnswer
from penstock_workers.pipelines.fanning import FanOuts, MemberFlow
from penstock_workers.pipelines.given_up import FlowLostError
from penstock_workers.pipelines.item_ends import ItemEnds
from penstock_workers.pipelines.states import States, encoded
from penstock_workers.pipelines.work import FlowWork

logger = logging.getLogger(__name__)

_NOTHING = b"null"


class Endings:
    """Ends stages."""

    def __init__(self, bench: Bench, states: States, fan_outs: FanOuts) -> None:
        self._bench = bench
        self._states = states
        self._fan_outs = fan_outs
        self._items = ItemEnds(bench, states)

    def settle(self, work: FlowWork, positions: Iterable[int]) -> None:
        """See `ItemEnds.settle`."""
        self._items.settle(work, positions)

    def finish(self, work: FlowWork, flows: Sequence[MemberFlow] = ()) -> StepAnswer:
        """The stage is done; `flows` are the members that were planted.

        Raises:
            FlowLostError: the flow is not ours any more, or its run has ended.
        """
        states = self._encode(work)
        following = self._following(work)
        if following is None and work.is_member:
            done = self._member_end(work, states)
        elif following is None:
            done = self._stage_done(work, b"", b"")
        else:
            goes = self._states.seal(work.flow, following[0].stage, work.claim.program, states)
            going_on = {
                position: trace
                for position, trace in enumerate(work.traces)
                if states[position] is not _NOTHING
            }
            done = self._stage_done(work, goes, self._states.write_traces(work.flow, going_on))
        advanced = self._advance(done, following, len(flows))
        return self._answer(work, following, flows, done, advanced)

    def refuse(self, flow: str, stage: str, claim: FlowClaim, failure: ToolFailure) -> StepAnswer:
        """Nothing can be done with a flow: all of its items fail.

        Raises:
            FlowLostError: as for `finish`.
        """
        logger.error(
            "A flow was refused: %s", failure.message, extra={"action": "flow_refused", "flow": flow}
        )
        lost = ItemState(status=ItemStatus.FAILED, failure=failure, frames=[[None, None]])
        record = to_record(
            content=None,
            error=failure,
            metadata={"worker": self._bench.worker},
            trace=[],
            filtered=False,
        )
        if claim.parent:
            state = encoded(lost, member=True)
            given = self._fan_outs.sealed(
                flow, claim, claim.now_ms, [state] * claim.count, [[]] * claim.count
            )
            records = []
        else:
            given = b""
            positions = [k for k in range(claim.count) if k not in claim.ended]
            records = [ItemRecord(k, RecordKind.FAILURE, record) for k in positions]
        done = StageDone(
            flow=flow,
            stage=stage,
            fence=claim.fence,
            items=given,
            summary="refused",
            records=records,
        )
        advanced = self._advance(done, None, 0)
        parent = None
        if advanced.last and advanced.parent_step is not None:
            parent = advanced.parent, advanced.parent_step
        return StepAnswer(
            flow=flow,
            stage=stage,
            items=claim.count,
            summary=done.summary,
            parent=parent,
            failure=None if claim.parent else failure,
        )

    def _encode(self, work: FlowWork) -> list[bytes]:
        """The state of each item; nothing of those that have ended, unless a fan-out gathers them."""
        states = []
        for item in work.items:
            if item is None or not _is_written(item, member=work.is_member):
                states.append(_NOTHING)
                continue
            state = encoded(item, member=work.is_member)
            states.append(_NOTHING if item.status.ended and not work.is_member else state)
        return states

    def _following(self, work: FlowWork) -> Sequence[FlowStep] | None:
        live = [item for item in work.items if item is not None]
        stage = next_stage(work.program.stages, live)
        if stage is not None:
            return work.program.foreseen(stage)
        if not any(item.status is ItemStatus.UNDOING for item in live):
            return None
        plan, said = work.compiled.plan, work.stage
        number = int(said[1:]) + 1 if said.startswith("u") else 0
        return (FlowStep(stage=f"u{number}", queue=plan.queue, label=f"{plan.label}:compensate"),)

    def _stage_done(self, work: FlowWork, items: bytes, traces: bytes) -> StageDone:
        self._items.settle_rest(work)
        settled = sorted(work.settled.items())
        return StageDone(
            flow=work.flow,
            stage=work.stage,
            fence=work.claim.fence,
            items=items,
            traces=traces,
            summary=_summary(work),
            records=[one.record for _, one in settled],
            resume={k: one.resume for k, one in settled if one.resume},
            counters=work.counters,
        )

    def _member_end(self, work: FlowWork, states: Sequence[bytes]) -> StageDone:
        earlier = self._items.earlier(work)
        traces = [[*added(earlier, k), trace] for k, trace in enumerate(work.traces)]
        return self._stage_done(
            work, self._fan_outs.sealed(work.flow, work.claim, work.now_ms(), states, traces), b""
        )

    def _advance(self, done: StageDone, following: Sequence[FlowStep] | None, members: int) -> Advanced:
        ledger, step = self._bench.ledger, following[0] if following else None
        if members and step is not None:
            crash.reach("worker.before_fan")
            gathering = step
            advanced = patiently(lambda: ledger.fan(done, gathering, members=members))
            crash.reach("worker.after_fan")
        else:
            crash.reach("worker.before_advance")
            advanced = patiently(lambda: ledger.advance(done, step))
            crash.reach("worker.after_advance")
        if advanced.state is not Advance.OK:
            raise FlowLostError
        return advanced

    @staticmethod
    def _answer(
        work: FlowWork,
        following: Sequence[FlowStep] | None,
        flows: Sequence[MemberFlow],
        done: StageDone,
        advanced: Advanced,
    ) -> StepAnswer:
        fan = None
        if flows and following:
            members = [(work.compiled.programs[one.program].foreseen_first, len(one.made)) for one in flows]
            fan = Fan(members=members, gathering=following[0])
        parent = None
        if advanced.last and advanced.parent_step is not None:
            parent = advanced.parent, advanced.parent_step
        live = [item for item in work.items if item is not None]
        failures = [item.failure for item in live if item.status is ItemStatus.FAILED]
        red = following is None and not work.is_member and not work.stage.startswith("u")
        return StepAnswer(
            flow=work.flow,
            stage=work.stage,
            items=work.claim.count,
            summary=done.summary,
            following=() if fan else following or (),
            fan=fan,
            parent=parent,
            failure=failures[0] if red and failures and len(failures) == len(live) else None,
        )


def _is_written(item: ItemState, *, member: bool) -> bool:
    """Whether an item's state is made: it goes on, or a fan-out gathers it.

    Also of one that is done and can be undone: if its result cannot be written, it has failed.
    """
    return member or not item.status.ended or (item.status is ItemStatus.DONE and bool(item.undo))


def _summary(work: FlowWork) -> str:
    """What a step's task returns, for people."""
    live = [item for item in work.items if item is not None]
    words = {
        ItemStatus.RUNNING: "go on",
        ItemStatus.UNDOING: "are being undone",
        ItemStatus.DONE: "done",
        ItemStatus.FAILED: "failed",
        ItemStatus.FILTERED: "filtered",
    }
    statuses = [item.status for item in live]
    counts = [(statuses.count(status), word) for status, word in words.items()]
    return ", ".join(f"{count} {word}" for count, word in counts if count)
