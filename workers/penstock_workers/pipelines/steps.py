"""Answers the doorbell of a step: enters the stage, does what is to be done there, and says what follows.

The message only says where to look. What has been done already is not done again; its answer goes on, so that
the chain that a message carries does.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import redis

from penstock_broker_config import crash
from penstock_broker_config.ledger import FlowClaim, FlowState, FlowStep, Leave
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import EnvelopeError, InvalidPipelineError, LoopLimitError, ValueLostError
from penstock_plugins.pipelines.item import ItemStatus
from penstock_plugins.pipelines.stages import StageKind
from penstock_plugins.result import ToolFailure
from penstock_workers.batch_runner import BatchRunner
from penstock_workers.bench import Bench
from penstock_workers.identity import holder_is_gone
from penstock_workers.lease import Hold
from penstock_workers.patience import patiently
from penstock_workers.pipelines.answers import StepAnswer
from penstock_workers.pipelines.ending import Endings
from penstock_workers.pipelines.fanning import FanOuts, make_members
from penstock_workers.pipelines.given_up import (
    FlowLostError,
    FlowWaitsError,
    GiveBackError,
)
from penstock_workers.pipelines.inline_calls import InlineCalls
from penstock_workers.pipelines.inner_calls import InnerCalls
from penstock_workers.pipelines.inner_job import InnerJobs
from penstock_workers.pipelines.plans import CompiledPlan, Plans
from penstock_workers.pipelines.states import States
from penstock_workers.pipelines.through import take_through
from penstock_workers.pipelines.undoing import undo_once
from penstock_workers.pipelines.work import FlowWork

logger = logging.getLogger(__name__)

#: What makes a plan, or what is kept of a flow, one that cannot be run.
_UNUSABLE = (EnvelopeError, InvalidPipelineError, LoopLimitError, ValueLostError)

#: Items that go through the inline calls of a stage together: as many as share an instance at most. With all
#: that they leave behind they stay near the processor, until they are written down.
_ITEMS_AT_ONCE = 64


class StepRunner:
    """Takes flows through stages, one at a time."""

    def __init__(self, bench: Bench, runner: BatchRunner) -> None:
        self._bench = bench
        self._plans = Plans(bench)
        self._states = States(bench)
        self._inner = InnerJobs(bench, runner)
        self._fan_outs = FanOuts(bench, self._states)
        self._endings = Endings(bench, self._states, self._fan_outs)

    def run(self, flow: str, stage: str, *, last: bool) -> StepAnswer | None:
        """Do what is to be done at a stage. None: nothing, and nothing follows.

        Args:
            flow: its id.
            stage: that the message names.
            last: nothing comes after it in the message, so that items are likely to end here.
        """
        try:
            compiled, refusal = self._plan(flow)
            claim, asked_at = self._enter(flow, stage, compiled, traces=last)
        except redis.ResponseError as error:
            logger.error("The ledger refuses to let %r be entered: %s", flow, error)  # noqa: TRY400
            return None
        if claim.state is FlowState.DONE:
            return self._done_before(flow, stage, claim, compiled)
        if claim.state is not FlowState.GRANTED:
            return None
        crash.reach("worker.after_enter")
        hold = Hold(f">{flow}", claim.fence, asked_at)
        self._bench.keeper.take(hold)
        try:
            with _collecting_later():
                return self._held(flow, stage, claim, hold, compiled, refusal)
        finally:
            self._bench.keeper.drop()

    def _plan(self, flow: str) -> tuple[CompiledPlan | None, ToolFailure | None]:
        """The plan of a flow's run, or why it cannot be used: there may be no such run."""
        try:
            return self._plans.of(flow.partition("/")[0]), None
        except _UNUSABLE as error:
            return None, _unusable(error)

    def _enter(
        self, flow: str, stage: str, compiled: CompiledPlan | None, *, traces: bool
    ) -> tuple[FlowClaim, float]:
        crash.reach("worker.before_enter")
        terms = self._bench.next_terms()
        calls = () if compiled is None else compiled.inline_tools

        def ask(takeover: str) -> tuple[FlowClaim, float]:
            asked_at = time.monotonic()
            wanted = replace(terms, takeover=takeover)
            return self._bench.ledger.enter(flow, stage, wanted, traces=traces, calls=calls), asked_at

        claim, asked_at = patiently(lambda: ask(""))
        if claim.state is FlowState.HELD and holder_is_gone(claim.holder):
            claim, asked_at = patiently(lambda: ask(claim.holder))
        return claim, asked_at

    def _held(
        self,
        flow: str,
        stage: str,
        claim: FlowClaim,
        hold: Hold,
        compiled: CompiledPlan | None,
        refusal: ToolFailure | None,
    ) -> StepAnswer | None:
        while True:
            work = None
            try:
                if compiled is None or refusal is not None:
                    return self._endings.refuse(flow, stage, claim, refusal or _unusable(None))
                items = self._states.read(flow, stage, claim)
                work = FlowWork(
                    flow=flow,
                    stage=stage,
                    claim=claim,
                    hold=hold,
                    compiled=compiled,
                    items=items,
                    hooks=self._bench.hooks,
                )
                work.check_items()
                return self._work(work)
            except _UNUSABLE as error:
                refusal = _unusable(error)
            except FlowLostError:
                return None
            except (FlowWaitsError, GiveBackError) as why:
                waits = isinstance(why, FlowWaitsError)
                if work is None or self._leave(work, waits=waits) is not Leave.READY:
                    return None
            except Exception as error:
                # Whatever it is, it comes again: what is kept of the flow is not as it was written, say.
                spent = claim.losses + 1 >= self._bench.max_attempts
                if not spent or refusal is not None or _is_outage(error):
                    raise
                logger.exception("A step failed in itself", extra={"action": "step_failed", "flow": flow})
                refusal = _broken(claim.losses + 1, error)

    def _work(self, work: FlowWork) -> StepAnswer:
        """Do a stage. Raises what is in `given_up`."""
        if work.stage.startswith("u"):
            undo_once(work, self._inner)
            return self._endings.finish(work)
        stage = work.planned()
        self._fail_killers(work, stage.last)
        if stage.kind is StageKind.JOIN:
            self._fan_outs.gather(work)
        fanning = self._through(work, stage.kind, stage.last)
        if stage.kind is not StageKind.FAN:
            return self._endings.finish(work)
        flows = make_members(work, fanning)
        if flows:
            self._fan_outs.plant(work, flows)
        return self._endings.finish(work, flows)

    def _through(self, work: FlowWork, kind: StageKind, last: int) -> list[int]:
        """Take the items through, by inline calls where that may be.

        After a loss nobody knows which call it was, so each instruction's calls are an inner job then.
        """
        if kind is StageKind.CALL or work.claim.losses > 0 or work.claim.limited or work.claim.inner:
            return take_through(work, last, InnerCalls(self._inner))
        calls, fanning = InlineCalls(self._bench), list[int]()
        for start in range(0, len(work.items), _ITEMS_AT_ONCE):
            some = range(start, min(start + _ITEMS_AT_ONCE, len(work.items)))
            fanning += take_through(work, last, calls, through=some)
            self._endings.settle(work, some)
        return fanning

    def _fail_killers(self, work: FlowWork, last: int) -> None:
        """End items whose stage loses its workers again and again, though no call of theirs does."""
        claim, most = work.claim, self._bench.max_attempts
        # What its inner jobs' calls may cost before they are set aside does not count.
        if claim.losses < most * (1 + claim.count * len(claim.inner)):
            return
        failure = ToolFailure(
            code=ErrorCode.QUARANTINED, message=f"The step lost its worker {claim.losses} times"
        )
        for position, item in list(work.with_status(ItemStatus.RUNNING)):
            if item.pc <= last:
                work.machine.fail(item, failure, work.traces[position])

    def _leave(self, work: FlowWork, *, waits: bool) -> Leave:
        crash.reach("worker.before_leave")
        left = patiently(lambda: self._bench.ledger.leave(work.of, waits=waits))
        crash.reach("worker.after_leave")
        return left

    @staticmethod
    def _done_before(
        flow: str, stage: str, claim: FlowClaim, compiled: CompiledPlan | None
    ) -> StepAnswer | None:
        """The stage is done: nothing is done again, but what follows is sent, unless it has begun."""
        if not (claim.goes_on or claim.last) or claim.waiting:
            return None
        following: tuple[FlowStep, ...] = ()
        if compiled is not None and "/" not in flow.partition("/")[2] and claim.at.isdigit():
            program, number = compiled.programs[0], int(claim.at)
            if number < len(program.stages):
                following = program.foreseen(program.stages[number])
        return StepAnswer(
            flow=flow,
            stage=stage,
            items=claim.count,
            summary=claim.summary,
            following=following,
            at=claim.at,
            last=claim.last,
        )


@contextmanager
def _collecting_later() -> Iterator[None]:
    """Spare Python's collector a stage: items and traces are many, have no cycles, and go at its end."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _is_outage(error: Exception) -> bool:
    """Whether it says nothing of the flow: Redis, or what keeps large values, is away."""
    return isinstance(error, (redis.RedisError, OSError)) and not str(error).startswith("WRONGTYPE")


def _broken(times: int, error: Exception) -> ToolFailure:
    message = f"The step failed in itself {times} times: {type(error).__name__}"
    return ToolFailure(code=ErrorCode.QUARANTINED, message=message)


def _unusable(error: Exception | None) -> ToolFailure:
    if isinstance(error, EnvelopeError):
        return ToolFailure(code=ErrorCode.PERMISSION_DENIED, message=error.message)
    return ToolFailure(code=ErrorCode.PIPELINE_ERROR, message=f"The pipeline cannot be run: {error}")
