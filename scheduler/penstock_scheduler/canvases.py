"""Goes on with canvases of others whose run has ended, when the worker that ended it did not."""

from __future__ import annotations

import logging

from celery import Celery

from penstock_broker_config import crash
from penstock_broker_config.canvases import Canvases
from penstock_broker_config.doorbell import RING_ERRORS
from penstock_plugins.errors import EnvelopeError

logger = logging.getLogger(__name__)


class CanvasReaper:
    """Looks at what waits for runs, a step at a time. Any number of them may."""

    def __init__(self, canvases: Canvases, app: Celery) -> None:
        self._canvases = canvases
        self._app = app

    def step(self) -> int:
        """Send again what is due; returns how many messages that were.

        Raises:
            redis.RedisError: the ledger does not answer.
        """
        sent = 0
        crash.reach("scheduler.before_due_canvas")
        for run, sealed in self._canvases.due():
            crash.reach("scheduler.after_due_canvas")
            try:
                self._canvases.send(self._app, run, sealed)
            except EnvelopeError as error:
                logger.error("A canvas cannot go on: %s", error.message)  # noqa: TRY400
                self._canvases.settle(run)
                continue
            except RING_ERRORS as error:
                logger.warning("The broker took no message: %s", error, extra={"action": "canvas_failed"})
                break
            sent += 1
        if sent:
            logger.info("Went on with %d canvases", sent, extra={"action": "canvases", "sent": sent})
        return sent
