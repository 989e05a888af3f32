"""The wire of producers without an event loop: each question blocks the thread that asks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import redis

from penstock_broker_config import crash
from penstock_broker_config.app import create_app
from penstock_broker_config.bell import Bell
from penstock_broker_config.dead_letters import DeadLetters
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.ledger import Completion, FlowStep, Ledger
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import Settings
from penstock_broker_config.store import connect_store
from penstock_broker_config.values import open_values
from penstock_plugins.errors import ValueLostError
from penstock_plugins.record import PluginRecord
from penstock_scheduler.flow import Flow, run
from penstock_scheduler.patience import BRIEF_S, in_our_words
from penstock_scheduler.storeclock import StoreClock

T = TypeVar("T")


class BlockingWire:
    """One system's Redis and broker. Threads may share it.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """

    def __init__(self, settings: Settings) -> None:
        self._client = connect_store(settings)
        if settings.crash_at is not None:
            crash.arm(settings.crash_at)
        self._doorbell = Doorbell(create_app(settings))
        self._bell = Bell(self._doorbell)
        self._catalog = RedisCatalog(self._client, settings.keys)
        self._values = open_values(self._client, settings)
        self._clock = StoreClock()
        self.dead_letters = DeadLetters(self._client, settings.keys)
        self.ledger = Ledger(self._client, settings.keys, settings.retention, settings.bounds)

    def check(self) -> None:
        """Find out whether Redis answers.

        Raises:
            UnreachableError: it does not.
        """
        try:
            self._client.ping()
        except redis.RedisError as error:
            raise in_our_words(error) from error

    def run(
        self, flow: Flow[T], *, patience_s: float = BRIEF_S, pause: Callable[[float], Any] | None = None
    ) -> T:
        """Drive a flow over this wire, in this thread."""
        if pause is None:
            return run(flow, self, patience_s=patience_s)
        return run(flow, self, patience_s=patience_s, pause=pause)

    def close(self) -> None:
        """Give the connections back. What was rung stays rung."""
        self._doorbell.close()
        self._client.close()

    def completions(
        self, job_id: str, *, cursor: str, wait_s: float, count: int
    ) -> tuple[str, list[Completion]]:
        """See `Wire`."""
        return self.ledger.completions(job_id, cursor=cursor, wait_s=wait_s, count=count)

    def ring(self, batch_id: str, *, queue: str, tool: str, calls: int) -> None:
        """See `Wire`."""
        self._bell.ring(batch_id, queue=queue, tool=tool, calls=calls)

    def ring_step(self, flow: str, steps: Sequence[FlowStep], *, items: int) -> None:
        """See `Wire`."""
        self._bell.step(flow, steps, items=items)

    def costs(self, calls: Sequence[str]) -> list[float | None]:
        """See `Wire`."""
        found = cast("list[bytes | None]", self._client.hmget(self.ledger.keys.costs, list(calls)))
        return [None if cost is None else float(cost) for cost in found]

    def put_value(self, job_id: str, value: bytes) -> bytes:
        """See `Wire`."""
        return self._values.put(job_id, value)

    def value(self, job_id: str, reference: bytes) -> bytes | None:
        """See `Wire`."""
        with suppress(ValueLostError):
            return self._values.get(job_id, reference)
        return None

    def now_ms(self) -> int:
        """See `Wire`."""
        now_ms = self._clock.now_ms()
        if now_ms is None:
            now_ms = self._clock.set(self._client.time())
        return now_ms

    def catalog_version(self) -> int:
        """See `Wire`."""
        return self._catalog.version()

    def catalog(self) -> tuple[int, list[PluginRecord]]:
        """See `Wire`."""
        # The counter first: what is published in between is noticed next time.
        return self._catalog.version(), self._catalog.records()
