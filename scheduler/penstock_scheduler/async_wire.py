"""The wire of producers in an event loop: the same questions as the blocking one, awaited.

One pool of connections, one pub/sub connection for all waits, and one thread for what only blocks: kombu's
doorbells, and the catalog.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import redis

from penstock_broker_config import crash
from penstock_broker_config.app import create_app
from penstock_broker_config.bell import Bell
from penstock_broker_config.dead_letters import AsyncDeadLetters
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.ledger import AsyncLedger, Completion, FlowStep
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import Settings
from penstock_broker_config.store import connect_async_store, connect_store
from penstock_broker_config.values import open_values
from penstock_plugins.errors import ValueLostError
from penstock_plugins.record import PluginRecord
from penstock_scheduler.flow import Flow, run_async
from penstock_scheduler.hub import Hub
from penstock_scheduler.patience import BRIEF_S, in_our_words
from penstock_scheduler.storeclock import StoreClock

T = TypeVar("T")

#: Doorbells that may wait for the thread; beyond it they are left to the reaper.
MAX_WAITING_RINGS = 1000


class _Reading:
    """One reading of the catalog, for all who asked before it began."""

    begun = False
    answer: asyncio.Future[tuple[int, list[PluginRecord]]]


class AsyncWire:
    """One system's Redis and broker, for one event loop.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """

    def __init__(self, settings: Settings) -> None:
        self._client = connect_async_store(settings)
        self._blocking_client = connect_store(settings)
        if settings.crash_at is not None:
            crash.arm(settings.crash_at)
        self._doorbell = Doorbell(create_app(settings))
        self._bell = Bell(self._doorbell)
        self._catalog = RedisCatalog(self._blocking_client, settings.keys)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="penstock-side")
        self._ring_room = threading.Semaphore(MAX_WAITING_RINGS)
        self._values = open_values(self._blocking_client, settings)
        self._clock = StoreClock()
        self._reading: _Reading | None = None
        self.hub = Hub(self._client, settings.keys)
        self.dead_letters = AsyncDeadLetters(self._client, settings.keys)
        self.ledger = AsyncLedger(self._client, settings.keys, settings.retention, settings.bounds)

    async def check(self) -> None:
        """Find out whether Redis answers.

        Raises:
            UnreachableError: it does not.
        """
        try:
            await self._client.ping()
        except redis.RedisError as error:
            raise in_our_words(error) from error

    async def run(self, flow: Flow[T], *, patience_s: float = BRIEF_S) -> T:
        """Drive a flow over this wire, in this loop."""
        return await run_async(flow, self, patience_s=patience_s)

    async def close(self) -> None:
        """Ring what waits to be rung, and give the connections back."""
        await self.hub.close()
        await self._aside(self._close_blocking)
        self._thread.shutdown(wait=False)
        await self._client.aclose()

    async def completions(
        self, job_id: str, *, cursor: str, wait_s: float, count: int
    ) -> tuple[str, list[Completion]]:
        """See `Wire`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        with self.hub.listening(job_id) as topic:
            while True:
                change = topic.change
                answer = await self.ledger.completions(job_id, cursor=cursor, count=count)
                if answer[1] or loop.time() >= until:
                    return answer
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(until):
                        await change.wait()

    async def ring(self, batch_id: str, *, queue: str, tool: str, calls: int) -> None:
        """See `Wire`. Returns at once."""
        self._ring(partial(self._bell.ring, batch_id, queue=queue, tool=tool, calls=calls))

    async def ring_step(self, flow: str, steps: Sequence[FlowStep], *, items: int) -> None:
        """See `Wire`. Returns at once."""
        self._ring(partial(self._bell.step, flow, steps, items=items))

    def _ring(self, ring: Callable[[], None]) -> None:
        def aside() -> None:
            self._ring_room.release()
            ring()

        if self._ring_room.acquire(blocking=False):
            self._thread.submit(aside)

    async def costs(self, calls: Sequence[str]) -> list[float | None]:
        """See `Wire`."""
        found = await self._client.hmget(self.ledger.keys.costs, list(calls))
        return [None if cost is None else float(cost) for cost in found]

    async def put_value(self, job_id: str, value: bytes) -> bytes:
        """See `Wire`."""
        return await self._aside(partial(self._values.put, job_id, value))

    async def value(self, job_id: str, reference: bytes) -> bytes | None:
        """See `Wire`."""
        with suppress(ValueLostError):
            return await self._aside(partial(self._values.get, job_id, reference))
        return None

    async def now_ms(self) -> int:
        """See `Wire`."""
        now_ms = self._clock.now_ms()
        if now_ms is None:
            now_ms = self._clock.set(await self._client.time())
        return now_ms

    async def catalog_version(self) -> int:
        """See `Wire`."""
        return await self._aside(self._catalog.version)

    async def catalog(self) -> tuple[int, list[PluginRecord]]:
        """See `Wire`. Many that ask at once share a reading that has not begun."""
        reading = self._reading
        if reading is None or reading.begun:
            reading = self._reading = _Reading()
            reading.answer = asyncio.ensure_future(self._aside(partial(self._read_catalog, reading)))
        return await asyncio.shield(reading.answer)

    def _read_catalog(self, reading: _Reading) -> tuple[int, list[PluginRecord]]:
        reading.begun = True
        # The counter first: what is published in between is noticed next time.
        return self._catalog.version(), self._catalog.records()

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _close_blocking(self) -> None:
        # Runs in the side thread, after every doorbell that was waiting there.
        self._doorbell.close()
        self._blocking_client.close()
