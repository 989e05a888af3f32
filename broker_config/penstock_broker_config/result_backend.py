"""Celery's result backend over our Redis; chords of ours it leaves to the ledger.

The ledger counts the members of a fan-out, so that each counts once whatever Celery sends twice. For our
chords no key is written: the worker whose step ended the last member says so, and the gathering step is sent.
All else, such as results that a user's own chain waits for, is Celery's Redis backend as it is.
"""

from __future__ import annotations

from typing import Any, cast

import redis
from celery import Celery
from celery.backends.redis import RedisBackend
from celery.canvas import maybe_signature
from celery.states import FAILURE
from kombu.exceptions import OperationalError

from penstock_broker_config.canvas import is_chord_id, is_step_id
from penstock_broker_config.foreign import CALL_TASK, PIPELINE_TASK
from penstock_broker_config.store import open_client

#: How `create_app` names the class below, and where it finds the URL.
STEP_BACKEND = "penstock_broker_config.result_backend:StepBackend"
URL_KEY = "penstock_result_url"

#: What Celery raises when it could not send what follows a task.
NOT_SENT: tuple[type[Exception], ...] = (OperationalError,)


class StepBackend(RedisBackend):
    """Results in Redis; steps have none, and their chords are the ledger's."""

    #: Set by Celery; its types do not say so.
    app: Celery

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: Chord of ours whose last member this process has just ended.
        self._complete: str | None = None

    def say_complete(self, group_id: str) -> None:
        """The step that this process runs ended the last member of that chord: its body is sent with it."""
        self._complete = group_id

    def on_chord_part_return(
        self, request: Any, state: str, result: Any, propagate: bool | None = None, **options: Any
    ) -> None:
        """Send the body of a chord of ours when it is complete; of others see Celery."""
        if not is_chord_id(request.group):
            super().on_chord_part_return(request, state, result, propagate, **options)
            return
        if self._complete != request.group:
            return
        self._complete = None
        body = cast("Any", maybe_signature(request.chord, app=self.app))
        body.apply_async(parent_id=request.id, root_id=request.root_id)

    def mark_as_failure(
        self,
        task_id: str,
        exc: Exception,
        traceback: str | None = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = FAILURE,
    ) -> None:
        """Say that a task has failed. A signature's has not when what follows it could not be sent.

        Its message was kept, and comes again: to whom waits for its result nothing has happened yet.
        """
        ours = getattr(request, "task", None) in {CALL_TASK, PIPELINE_TASK}
        if ours and isinstance(exc, NOT_SENT):
            return
        super().mark_as_failure(
            task_id,
            exc,
            traceback=traceback,
            request=request,
            store_result=store_result,
            call_errbacks=call_errbacks,
            state=state,
        )

    def apply_chord(self, header_result_args: Any, body: Any, **options: Any) -> None:
        """Write down what a chord consists of; of ours the ledger knows it."""
        if not is_chord_id(header_result_args[0]):
            super().apply_chord(header_result_args, body, **options)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Write down how many parts a chord has; of ours the ledger knows it."""
        if not is_chord_id(group_id):
            super().set_chord_size(group_id, chord_size)

    def add_pending_result(self, result: Any, weak: bool = False, start_drainer: bool = True) -> Any:
        """Listen for a result. Nobody waits for a step's, and there may be ten thousand of them."""
        if is_step_id(result.id):
            return result
        return super().add_pending_result(result, weak, start_drainer)  # type: ignore[call-arg]  # missing in the stubs

    def remove_pending_result(self, result: Any) -> Any:
        """Listen no more."""
        return result if is_step_id(result.id) else super().remove_pending_result(result)

    def _create_client(self, **_: Any) -> redis.Redis:
        # Celery would read the URL in its own way: see `store` for ours, with Sentinel and TLS.
        return open_client(str(self.app.conf[URL_KEY]))
