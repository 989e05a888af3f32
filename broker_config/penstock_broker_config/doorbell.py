"""Rings: sends the Celery message that says which batch or flow to look at. Losing one changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu import Queue
from kombu.exceptions import KombuError, OperationalError
from kombu.pools import ProducerPool

from penstock_broker_config.app import RUN_TASK
from penstock_broker_config.canvas import step_signature
from penstock_broker_config.ledger import FlowStep, Overdue
from penstock_broker_config.queues import declare

#: What a failing ring raises; callers may pass over it, since the reaper rings again.
RING_ERRORS: tuple[type[Exception], ...] = (OperationalError, KombuError, OSError)

#: Connections of one doorbell: threads beyond it wait for one another.
_CONNECTIONS = 10


class Doorbell:
    """Sends doorbells over one broker. Thread-safe: its producer pool gives each thread a connection."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._broker = str(app.conf.broker_url)
        self._queues: dict[str, Queue] = {}
        # A pool of our own: kombu's are shared by all apps of the process on one URL, so that closing
        # them for one would close them for all.
        connections = app.connection_for_write().Pool(limit=_CONNECTIONS)
        self._producers = ProducerPool(connections, limit=_CONNECTIONS)

    def prepare(self, queues: Sequence[str]) -> None:
        """Connect, and declare the queues: else the first batch of each waits for that, some 10 ms.

        Raises:
            one of `RING_ERRORS`: the broker does not answer. The first doorbell tries again.
        """
        with self._producers.acquire(block=True) as producer:
            for name in queues:
                producer.maybe_declare(self._queue(name))

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
        with self._producers.acquire(block=True) as producer:
            self._app.send_task(
                RUN_TASK,
                args=(batch_id,),
                queue=self._queue(queue),  # type: ignore[arg-type]  # the stubs know names only
                shadow=tool,
                # What people see: no params, no secrets.
                argsrepr=f"({tool!r}, {calls} {'call' if calls == 1 else 'calls'}, batch {batch_id})",
                kwargsrepr="{}",
                ignore_result=True,
                retry=False,
                producer=producer,
            )

    def step(self, flow: str, steps: Sequence[FlowStep], *, items: int) -> None:
        """Say that a flow is at a stage: the message that `canvas.chain_from` makes.

        Args:
            flow: its id.
            steps: that stage, and those that follow it.
            items: of the flow, for people to read.

        Raises:
            one of `RING_ERRORS`: the broker did not take it.
        """
        first, *rest = (step_signature(self._app, flow, step, items=items) for step in steps)
        # A chain sends its first task by itself, but through a pool that is shared by all apps.
        with self._producers.acquire(block=True) as producer:
            first.apply_async(producer=producer, retry=False, chain=[dict(step) for step in reversed(rest)])

    def ring_again(self, overdue: Overdue) -> None:
        """Ring for what the ledger says is overdue, be it a batch or a flow.

        Raises:
            one of `RING_ERRORS`: the broker did not take it.
        """
        if overdue.stage:
            step = FlowStep(stage=overdue.stage, queue=overdue.queue, label=overdue.tool)
            self.step(overdue.flow, [step], items=overdue.calls)
        else:
            self.ring(overdue.batch_id, queue=overdue.queue, tool=overdue.tool, calls=overdue.calls)

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        """How many doorbells wait in each queue, whichever the broker. Declares those that are missing.

        Raises:
            one of `RING_ERRORS`: the broker does not answer.
        """
        depths = {}
        with self._app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
            with connection.channel() as channel:
                for name in queues:
                    # Not passive: kombu's Redis transport does not find a queue under a key prefix that way.
                    answer: Any = self._queue(name).bind(channel).queue_declare()
                    depths[name] = answer.message_count
        return depths

    def close(self) -> None:
        """Close the connections. What was rung stays rung."""
        self._producers.connections.force_close_all()

    def _queue(self, name: str) -> Queue:
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = declare(name, self._broker)
        return queue
