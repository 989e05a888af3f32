"""Answers a signature's task: its run begins once, and when that has ended the canvas around it goes on.

The task waits for nothing. A run that can be run right here is; else the task is let go, and its message,
which was kept before the run began, is sent again at the run's end: by the worker that ended it, or by a
scheduler. Whoever comes then finds the result, and Celery goes on as after any task.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from celery import Celery

from penstock_broker_config import crash
from penstock_broker_config.canvases import Canvases
from penstock_broker_config.doorbell import RING_ERRORS
from penstock_broker_config.envelope import flow_context
from penstock_broker_config.flow_items import pack_items
from penstock_broker_config.foreign import run_of_task
from penstock_broker_config.ledger import FlowStep, JobRecord, JobState, RunSpec, top_flow
from penstock_broker_config.value_references import is_reference
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import EnvelopeError, JobNotFoundError, OverloadedError
from penstock_plugins.pipelines.item import ItemState, input_mark
from penstock_plugins.result import ToolFailure
from penstock_workers.bench import Bench
from penstock_workers.foreign.envelope import ForeignCall, read_call
from penstock_workers.patience import patiently
from penstock_workers.pipelines.steps import StepRunner

logger = logging.getLogger(__name__)

_NOT_SENT: tuple[type[Exception], ...] = (EnvelopeError, *RING_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignAnswer:
    """What a signature's task has come to."""

    #: Its run has ended, and this process goes on with the canvas. False: the task is let go.
    ended: bool = False
    data: Any = None
    failure: ToolFailure | None = None
    #: Stages whose tasks are to be sent, of which flow.
    flow: str = ""
    steps: Sequence[FlowStep] = ()


_LET_GO = ForeignAnswer()


class ForeignCalls:
    """Begins runs for signatures, and says what came of them."""

    def __init__(self, bench: Bench, steps: StepRunner, canvases: Canvases) -> None:
        self._bench = bench
        self._steps = steps
        self._canvases = canvases

    def answer(
        self, task_id: str, came_before: Sequence[Any], sealed: object, message: dict[str, Any]
    ) -> ForeignAnswer:
        """Begin the run of a task, or go on from what has come of it.

        Args:
            task_id: Celery's.
            came_before: what Celery put before the signature's own arguments.
            sealed: what the producer put into it.
            message: all that is needed to send the task again.

        Raises:
            ToolError: the signature cannot be run, or its input cannot be made.
        """
        run = run_of_task(task_id)
        call = read_call(self._bench.signer, sealed)
        record = self._record(run)
        if record is None:
            crash.reach("worker.before_keep_canvas")
            patiently(lambda: self._canvases.keep(run, message))
            crash.reach("worker.after_keep_canvas")
            # Kept by now: what follows a failure is sent as well.
            given = call.given(came_before)
            try:
                self._begin(run, call, given)
            except OverloadedError:
                # The message is kept, and comes again.
                return _LET_GO
            record = self._record(run)
        if record is not None and not record.state.final:
            flow, first = top_flow(run, 0), call.compiled.programs[0].foreseen_first
            if not call.at_once:
                return ForeignAnswer(flow=flow, steps=first)
            stepped = self._steps.run(flow, first[0].stage, last=True)
            if stepped is not None and stepped.following:
                return ForeignAnswer(flow=flow, steps=stepped.following)
            record = self._record(run)
        if record is None or not record.state.final:
            return _LET_GO
        crash.reach("worker.before_take_canvas")
        if not patiently(lambda: self._canvases.take(run)):
            # It has gone on, or somebody is about to; else a scheduler sends the message once more.
            return _LET_GO
        crash.reach("worker.after_take_canvas")
        return self._ended(record, call)

    def settle(self, task_id: str) -> None:
        """Celery has sent all that follows the task."""
        run = run_of_task(task_id)
        crash.reach("worker.before_settle")
        patiently(lambda: self._canvases.settle(run))

    def go_on(self, app: Celery, run: str) -> None:
        """A flow of this run has ended: when the run has, the canvas that waits for it goes on."""
        record = self._record(run)
        if record is None or not record.state.final:
            return
        crash.reach("worker.before_go_on")
        try:
            patiently(lambda: self._canvases.send(app, run))
        except _NOT_SENT as error:
            logger.warning("A canvas could not go on; the scheduler tries again: %s", error)

    def _record(self, run: str) -> JobRecord | None:
        try:
            return patiently(lambda: self._bench.ledger.job(run))
        except JobNotFoundError:
            return None

    def _begin(self, run: str, call: ForeignCall, given: Any) -> None:
        bench, compiled = self._bench, call.compiled
        plan, program = compiled.plan, compiled.programs[0]
        flow, first = top_flow(run, 0), program.steps[0]
        item = ItemState.fresh(given, reads_input=program.program.reads_input, mark=input_mark(given))
        text = orjson.dumps(item.to_json())
        packed = pack_items([text], lambda state: patiently(lambda: bench.values.put(run, state)))
        spec = RunSpec(
            run=run,
            pipeline=call.tool or plan.label,
            digest=plan.digest,
            bundles=plan.bundles,
            tenant=call.tenant,
            queue=plan.queue,
            plan=bench.signer.seal(run, call.plan),
        )
        items = bench.signer.seal(flow_context(flow, first.stage, 0), packed)
        crash.reach("worker.before_begin")
        patiently(
            lambda: bench.ledger.begin(
                spec,
                items,
                base=0,
                count=1,
                size_bytes=len(text),
                first=first,
                deadline_s=call.deadline_s,
                total=1,
                single=True,
            )
        )
        crash.reach("worker.after_begin")

    def _ended(self, record: JobRecord, call: ForeignCall) -> ForeignAnswer:
        (result,) = patiently(lambda: self._bench.ledger.results(record.id, [0]))
        if result is None:
            return ForeignAnswer(ended=True, failure=_without_result(record))
        if is_reference(result):
            reference = result
            result = patiently(lambda: self._bench.values.get(record.id, reference))
        shape = orjson.loads(result)
        said = shape.get("e")
        if said is None:
            return ForeignAnswer(ended=True, data=shape.get("d"))
        # Of a single tool, its own words: nobody knows of the one step that it was called in.
        trace = shape.get("t") or []
        if call.tool and trace and (own := (trace[-1].get("result") or {}).get("error")):
            said = own
        failure = ToolFailure(
            code=ErrorCode(said["code"]), message=said["message"], details=said.get("details")
        )
        return ForeignAnswer(ended=True, failure=failure)


def _without_result(record: JobRecord) -> ToolFailure:
    if record.state is JobState.CANCELLED:
        return ToolFailure(code=ErrorCode.CANCELLED, message="The call was cancelled")
    if record.state is JobState.EXPIRED:
        return ToolFailure(code=ErrorCode.TIMEOUT, message="The deadline passed before the call had ended")
    return ToolFailure(
        code=ErrorCode.PIPELINE_ERROR, message=record.error or "The result has expired, or was lost"
    )
