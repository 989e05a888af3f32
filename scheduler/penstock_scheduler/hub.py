"""Wakes whoever waits for a job in this event loop, over one pub/sub connection for all of them.

What is heard here is a hint: the waiter reads the job's stream again. So a message that gets lost costs
time, not results; and after a reconnect every waiter is woken once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis.asyncio

from penstock_broker_config.keys import Keys

logger = logging.getLogger(__name__)

#: Seconds between two tries to connect again.
_PAUSE_S = 0.5
#: Seconds after which a silent connection is pinged.
_PING_S = 15.0
#: Seconds that closing may take.
_CLOSE_S = 2.0


class Topic:
    """What is known of one channel: who listens, and the event of the next change."""

    __slots__ = ("change", "listeners")

    def __init__(self) -> None:
        self.listeners = 0
        #: Set once, at the next change. Take it before you look, and wait for it after you saw nothing.
        self.change = asyncio.Event()

    def wake(self) -> None:
        """Wake everybody who waits, and begin anew."""
        self.change.set()
        self.change = asyncio.Event()


class Hub:
    """Listens to the channels of the jobs that somebody waits for.

    Args:
        client: the pub/sub connection is taken from its pool.
        keys: spells the channels.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self._client: Any = client
        self._keys = keys
        self._topics: dict[str, Topic] = {}
        #: Channels that came or went since the subscriptions were compared with `_topics`.
        self._touched: set[str] = set()
        #: Set when something was touched, or the hub closes.
        self._stale = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @contextmanager
    def listening(self, job_id: str) -> Iterator[Topic]:
        """Hear of a job while the block runs. Being subscribed counts as a change: look once more then."""
        channel = self._keys.job_channel(job_id)
        topic = self._topics.get(channel)
        if topic is None:
            topic = self._topics[channel] = Topic()
            self._touch(channel)
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._run(), name="penstock-hub")
        topic.listeners += 1
        try:
            yield topic
        finally:
            topic.listeners -= 1
            if not topic.listeners:
                del self._topics[channel]
                self._touch(channel)

    async def close(self) -> None:
        """Stop listening."""
        self._closed = True
        self._stale.set()
        if self._task is not None:
            # Told, not cancelled: redis-py may swallow a cancellation in the middle of a command.
            await asyncio.wait([self._task], timeout=_CLOSE_S)
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while not self._closed:
            try:
                async with self._client.pubsub() as pubsub:
                    self._touch(*self._topics)
                    await self._listen(pubsub)
            except Exception as error:  # noqa: BLE001 - a hint only: waiters look again by themselves
                logger.warning(
                    "Lost the wake-up connection; waits are slower until it is back: %s",
                    error,
                    extra={"action": "hub_reconnect"},
                )
                await asyncio.sleep(_PAUSE_S)
            for topic in self._topics.values():
                topic.wake()

    async def _listen(self, pubsub: Any) -> None:
        """Hear messages and follow what is listened to, until the hub closes or the connection fails."""
        subscribed: set[str] = set()
        message: asyncio.Future[Any] | None = None
        stale: asyncio.Future[Any] = asyncio.ensure_future(self._stale.wait())
        try:
            while not self._closed:
                waiting = {stale} if message is None else {stale, message}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if stale.done():
                    self._stale.clear()
                    await self._follow(pubsub, subscribed)
                    stale = asyncio.ensure_future(self._stale.wait())
                if message is not None and message.done():
                    self._hear(message.result())
                    message = None
                if message is None and subscribed:
                    message = asyncio.ensure_future(pubsub.get_message(timeout=_PING_S))
        finally:
            stale.cancel()
            if message is not None:
                message.cancel()
                with suppress(Exception, asyncio.CancelledError):
                    await message

    async def _follow(self, pubsub: Any, subscribed: set[str]) -> None:
        touched, self._touched = self._touched, set()
        wanted = {channel for channel in touched if channel in self._topics}
        come, gone = wanted - subscribed, (touched - wanted) & subscribed
        subscribed |= come
        subscribed -= gone
        if come:
            await pubsub.subscribe(*come)
        if gone:
            await pubsub.unsubscribe(*gone)

    def _touch(self, *channels: str) -> None:
        self._touched.update(channels)
        self._stale.set()

    def _hear(self, message: dict[str, Any] | None) -> None:
        if message is None or message["channel"] is None:
            return
        topic = self._topics.get(message["channel"].decode())
        if topic is not None:
            topic.wake()
