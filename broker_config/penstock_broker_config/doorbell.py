"""Rings: sends the Celery message that says which batch to look at. Losing one changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu.exceptions import KombuError, OperationalError

from penstock_broker_config.app import RUN_TASK
from penstock_broker_config.queues import declare

#: What a failing ring raises; callers may pass over it, since the reaper rings again.
RING_ERRORS: tuple[type[Exception], ...] = (OperationalError, KombuError, OSError)


class Doorbell:
    """Sends doorbells over one broker. Thread-safe: kombu's producer pool gives each thread a connection."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._broker = str(app.conf.broker_url)

    def ring(self, batch_id: str, *, queue: str, tool: str, calls: int) -> None:
        """Say that a batch waits.

        Args:
            batch_id: the batch.
            queue: full name of the queue.
            tool: the row that Flower shows this message in.
            calls: how many calls wait in it, for people to read.

        Raises:
            one of `RING_ERRORS`: the broker did not take it.
        """
        self._app.send_task(
            RUN_TASK,
            args=(batch_id,),
            queue=declare(queue, self._broker),
            shadow=tool,
            # What people see: no params, no secrets.
            argsrepr=f"({tool!r}, {calls} {'call' if calls == 1 else 'calls'}, batch {batch_id})",
            kwargsrepr="{}",
            ignore_result=True,
            retry=False,
        )

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        """How many doorbells wait in each queue, whichever the broker; a queue that is not there has none.

        Raises:
            one of `RING_ERRORS`: the broker does not answer.
        """
        depths = {}
        with self._app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            for name in queues:
                with connection.channel() as channel:
                    bound = declare(name, self._broker).bind(channel)
                    try:
                        depths[name] = bound.queue_declare(passive=True).message_count
                    except connection.channel_errors:
                        depths[name] = 0
        return depths
