"""The Celery tasks of signatures. Their results are Celery's: the user's own app reads them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import orjson
from celery import Celery, Task
from celery.exceptions import Ignore

from penstock_broker_config.canvas import chain_from
from penstock_broker_config.doorbell import RING_ERRORS
from penstock_broker_config.foreign import CALL_TASK, PIPELINE_TASK
from penstock_broker_config.result_backend import NOT_SENT
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import EnvelopeError, PenstockError, ToolError
from penstock_plugins.pipelines.inputs import unfit
from penstock_plugins.result import ToolFailure
from penstock_workers.foreign.calls import ForeignCalls

logger = logging.getLogger(__name__)

#: Longer ids are no task's of Celery.
_ID_LENGTH = 200


def add_tasks(app: Celery, calls: Callable[[], ForeignCalls | None]) -> None:
    """Register them.

    Args:
        app: of the worker.
        calls: of this pool process, once that has begun.
    """

    class SignatureTask(Task):  # type: ignore[type-arg]  # not generic when it runs
        """Says when all that follows it has been sent."""

        def after_return(self, status: str, retval: Any, task_id: str, *_: Any) -> None:
            """See Celery: called last of all."""
            if isinstance(retval, NOT_SENT):
                logger.warning("What follows was not sent; the message comes again: %s", retval)
                return
            found = calls()
            if found is not None:
                found.settle(task_id)

    def answer(task: Any, *came_before: Any, call: object = None) -> Any:
        """Begin what a signature asks for, or give the canvas around it what came of it."""
        found, request = calls(), task.request
        if found is None or not isinstance(request.id, str) or len(request.id) > _ID_LENGTH:
            raise Ignore
        try:
            said = found.answer(request.id, came_before, call, _message(task))
        except ToolError:
            raise
        except EnvelopeError as error:
            raise ToolFailure(
                code=ErrorCode.PERMISSION_DENIED, message=error.message
            ).to_exception() from None
        except PenstockError as error:
            raise ToolFailure(code=ErrorCode.PIPELINE_ERROR, message=error.message).to_exception() from None
        if said.steps:
            try:
                chain_from(app, said.flow, said.steps, items=1).apply_async(parent_id=request.id)
            except RING_ERRORS as error:
                # The run has begun: the scheduler rings for what nobody enters.
                logger.warning("The first step was not sent; the scheduler rings for it: %s", error)
        if not said.ended:
            raise Ignore
        if said.failure is not None:
            raise said.failure.to_exception()
        return said.data

    for name in (CALL_TASK, PIPELINE_TASK):
        app.task(name=name, bind=True, base=SignatureTask, throws=(ToolError,), ignore_result=False)(answer)


def _message(task: Any) -> dict[str, Any]:
    """What sends the task again, with all that Celery put around it.

    Raises:
        ParamsError: what came before is no JSON: Celery's own can say more.
    """
    request = task.request
    wanted = request.as_execution_options()
    options = {
        name: wanted.get(name)
        for name in (
            *("task_id", "root_id", "parent_id", "group_id", "group_index", "shadow", "chord", "chain"),
            *("link", "link_error", "reply_to", "replaced_task_nesting"),
        )
        if wanted.get(name) is not None
    }
    options |= {
        "ignore_result": bool(request.ignore_result),
        "argsrepr": getattr(request, "argsrepr", None) or "()",  # a message need not say it
        "kwargsrepr": "{}",
        "queue": str((request.delivery_info or {}).get("routing_key") or ""),
    }
    message = {"task": task.name, "args": list(request.args), "kwargs": request.kwargs, "options": options}
    # What Celery keeps in these are dictionaries of classes of its own.
    try:
        copied: dict[str, Any] = orjson.loads(orjson.dumps(message))
    except orjson.JSONEncodeError as error:
        raise unfit(f"what came before in the canvas is no JSON: {error}") from error
    return copied
