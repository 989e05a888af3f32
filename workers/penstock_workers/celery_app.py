"""The Celery app of workers: its two tasks, and the steps that make a worker safe before its pool starts.

Pool processes build their runtime in `worker_process_init`, after the fork.
"""

from __future__ import annotations

import logging
from typing import Any

import billiard.pool
from celery import Celery, bootsteps, signals
from celery.exceptions import Ignore

from penstock_broker_config.app import RUN_TASK, STEP_TASK, create_app
from penstock_broker_config.foreign import is_foreign
from penstock_broker_config.ledger import run_of
from penstock_broker_config.settings import Settings
from penstock_plugins.errors import ToolError
from penstock_workers import preload
from penstock_workers.consumer import ResilientConsumer
from penstock_workers.foreign.tasks import add_tasks
from penstock_workers.heap import keep_freed_memory
from penstock_workers.pipelines.sending import StepTask, send_on
from penstock_workers.refusals import refuse_pool
from penstock_workers.runtime import Runtime, WorkerPlan, start_runtime

logger = logging.getLogger(__name__)

#: Longer ids than this name no batch of ours.
_ID_LENGTH = 200

#: Looks, 0.1 s apart, whether the parent has read what an ending pool process answered.
_LAST_ANSWER_LOOKS = 10

#: Of this pool process; made after the fork.
_runtime: Runtime | None = None


def create_worker_app(settings: Settings, plan: WorkerPlan) -> Celery:
    """The app that `penstock worker` runs."""
    app = create_app(settings)
    app.conf.update(
        worker_consumer=f"{ResilientConsumer.__module__}:{ResilientConsumer.__qualname__}",
        worker_pool="prefork",
        # What failed is in the ledger; a traceback of the host says nothing about the guest.
        worker_redirect_stdouts=False,
    )
    # Made once here: to find it, Celery reads what every installed package has to offer.
    _ = app.backend
    app.steps["worker"].add(SafePool)
    _connect_signals(plan)

    @app.task(name=RUN_TASK, bind=True, throws=(ToolError,))
    def run(task: Any, batch_id: object) -> str:
        """Look at one batch. The message is only a doorbell: the ledger says what is to be done."""
        if not isinstance(batch_id, str) or len(batch_id) > _ID_LENGTH or _runtime is None:
            logger.error("A doorbell names no batch, and is dropped")
            raise Ignore
        summary = _runtime.batches.run(batch_id)
        if summary is None:
            # Not Ignore: Celery makes a traceback of that, sends it to the parent, and Flower sees no end.
            return "nothing to do"
        if summary.failure is not None:
            # Red in Flower where nothing succeeded; the results are in the ledger either way.
            raise summary.failure.to_exception()
        return f"{summary.succeeded} succeeded, {summary.failed} failed"

    @app.task(name=STEP_TASK, bind=True, base=StepTask, throws=(ToolError,))
    def step(task: Any, flow: object, stage: object) -> str:
        """Look at one stage of one flow. What its chain says comes next counts as the ledger agrees."""
        if not (_is_id(flow) and _is_id(stage)) or _runtime is None:
            logger.error("A doorbell names no step, and is dropped")
            raise Ignore
        answer = _runtime.steps.run(str(flow), str(stage), last=not task.request.chain)
        if answer is None:
            raise Ignore
        send_on(task, answer)
        if is_foreign(run_of(answer.flow)):
            _runtime.foreign.go_on(task.app, run_of(answer.flow))
        if answer.failure is not None:
            raise answer.failure.to_exception()
        return answer.summary

    add_tasks(app, lambda: None if _runtime is None else _runtime.foreign)
    return app


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _ID_LENGTH


class SafePool(bootsteps.StartStopStep):
    """Refuses a pool in which calls would not be isolated, before anything of it starts."""

    requires = ("celery.worker.components:Hub",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        refuse_pool(worker.pool_cls if isinstance(worker.pool_cls, str) else worker.pool_cls.__module__)


def _connect_signals(plan: WorkerPlan) -> None:
    @signals.worker_before_create_process.connect(weak=False)
    def prepare(**_: object) -> None:
        preload.before_fork(plan.settings.sandbox_path, then=plan.load_inherited)
        plan.inherited.before_fork(plan.artifacts)

    @signals.worker_process_init.connect(weak=False)
    def start(**_: object) -> None:
        preload.after_fork_child()
        keep_freed_memory()
        global _runtime  # noqa: PLW0603  # one pool process has one runtime, and Celery's tasks no constructor
        # A process that ends waits until the parent has read its last answer, half a minute by default; a
        # parent that stops may have ceased to read. What gets lost is a doorbell's acknowledgement.
        billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _LAST_ANSWER_LOOKS
        try:
            _runtime = start_runtime(plan)
        except Exception:
            logger.exception("A pool process cannot start")
            raise

    @signals.worker_shutting_down.connect(weak=False)
    def stop(**_: object) -> None:
        plan.stop()
