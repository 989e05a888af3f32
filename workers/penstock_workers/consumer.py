"""Celery's consumer, with three habits mended: it reconnects soon, notices that it has stalled, and sends
what Flower is told together.

Celery waits longer and longer between two tries to reconnect, up to half a minute. And a failed
acknowledgement leaks one of the consumer's prefetch credits for good (kombu 5.7, Redis): after as many as
it has, the worker lives on, answers pings, and never consumes again. Our transport gives that credit back;
should it be lost in another way, the consumer connects anew. Each task has three events, and Celery sends
each by itself: a third of what a worker's main process does for a message.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, cast

from celery.worker import state
from celery.worker.consumer import Consumer
from celery.worker.loops import asynloop

from penstock_workers.finished import FinishedBatches
from penstock_workers.messages import BadMessageError, batch_of, check_message
from penstock_workers.watchdog import CreditWatch, Pulse

logger = logging.getLogger(__name__)

#: Seconds between two looks at the credit; each is also a beat of the worker's pulse.
LOOK_EVERY_S = 1.0
#: Waits between two tries to connect: the first, what is added each time, the longest.
RECONNECT_S = (0.2, 0.3, 2.0)
#: Seconds that an event waits for others. Celery's buffer has room for 24.
EVENTS_S = 0.1


class StalledConsumerError(ConnectionResetError):
    """Credit has leaked. Ends the connection, so that Celery makes a new one."""


class BrokenLoopError(ConnectionResetError):
    """Something in the loop failed that is no fault of the connection; it is made anew all the same."""


def unbreakable_loop(*arguments: Any) -> None:
    """Celery's event loop, which a message that its transport cannot read does not end.

    Celery takes such an error for its own and ends the worker. The message is gone by then, or is dropped by
    `check_message` when it comes again.
    """
    consumer = arguments[0]
    try:
        asynloop(*arguments)
    except consumer.connection_errors:
        raise
    except Exception as error:
        logger.exception("The worker's loop failed; connecting anew", extra={"action": "loop_failed"})
        raise BrokenLoopError(f"{type(error).__name__}: {error}") from error


class ResilientConsumer(Consumer):
    """The consumer of every Penstock worker."""

    #: What Celery runs.
    loop = staticmethod(unbreakable_loop)

    #: Set by the worker before it starts.
    pulse: Pulse | None = None
    #: Set by the worker before it starts: what need not be looked at any more.
    finished: FinishedBatches | None = None
    #: Set by Celery.
    hub: Any
    task_consumer: Any
    _flush_events: Callable[[], None]
    connection_errors: tuple[type[Exception], ...]

    _events_wait = False

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, with waits that stay short; the loop beats meanwhile."""

        def on_error(error: Exception, interval: float) -> None:
            self._beat()
            logger.warning("No broker, trying again in %.1f s: %s", interval, error)

        start, step, longest = RECONNECT_S
        connected = conn.ensure_connection(
            on_error,
            None,
            interval_start=start,
            interval_step=step,
            interval_max=longest,
            callback=state.maybe_shutdown,
        )
        self.first_connection_attempt = False
        return connected

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
        """What Celery calls with each message: ours looks at it first, and drops what is finished."""
        receive = super().create_task_handler(*arguments, **options)

        def on_message(message: Any) -> Any:
            try:
                check_message(message)
            except BadMessageError as error:
                logger.warning("A message is dropped: %s", error, extra={"action": "message_dropped"})
                message.reject_log_error(logger, self.connection_errors)
                return None
            if self.finished is not None and batch_of(message) in self.finished:
                message.ack_log_error(logger, self.connection_errors)
                return None
            return receive(message)

        return on_message

    def register_with_event_loop(self, hub: Any) -> None:
        """Begin to look, as long as this connection lives."""
        super().register_with_event_loop(hub)
        self._credit = CreditWatch()
        self._events_wait = False
        hub.timer.call_repeatedly(LOOK_EVERY_S, self._look)

    def on_send_event_buffered(self) -> Any:
        """Celery calls this with each event of a task. Its loop turns on while a worker stops."""
        if not self._events_wait:
            self._events_wait = True
            self.hub.call_later(EVENTS_S, self._send_events)

    def _send_events(self) -> None:
        self._events_wait = False
        self._flush_events()

    def _look(self) -> None:
        self._beat()
        told: Any = state  # its types say that these are always None
        if told.should_stop is not None or told.should_terminate is not None:
            return  # a worker that stops hands out nothing any more, and what it holds is no leak
        if self._credit.stalled(self._credit_used(), len(state.reserved_requests), now=time.monotonic()):
            logger.error("The consumer has lost its prefetch credit; connecting anew")
            raise StalledConsumerError("prefetch credit leaked")

    def _credit_used(self) -> int:
        """Deliveries that count against the prefetch limit. Only Redis's transport counts them here."""
        channel = getattr(self.task_consumer, "channel", None)
        qos = getattr(channel, "qos", None)
        delivered, dirty = getattr(qos, "_delivered", None), getattr(qos, "_dirty", None)
        if delivered is None or dirty is None:
            return 0
        return len(cast("Any", delivered)) - len(cast("Any", dirty))

    def _beat(self) -> None:
        if self.pulse is not None:
            self.pulse.beat()
