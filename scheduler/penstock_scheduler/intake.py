"""Reads the inputs of a `map` while the feeder sends: one class for threads, one for the event loop.

All that is decided here is who waits for whom; what a chunk is and when it is due is the hopper's.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from penstock_plugins.errors import ConfigurationError
from penstock_scheduler.hopper import Chunk, Hopper

T = TypeVar("T")

#: Makes the JSON text of one input. What it raises ends the input.
Encode = Callable[[T], bytes]


class Source(Protocol):
    """Where the feeder takes its chunks from, as a blocking feeder gets it."""

    @property
    def stopped(self) -> bool:
        """Whether the rest of the input is not wanted any more."""
        ...

    def take(self, calls: int, *, wait_s: float) -> Chunk | None:
        """Wait until a chunk of about `calls` calls is due, and take it; None when none was in time."""
        ...


class Intake(Generic[T]):
    """Reads an iterable in a thread of its own, so that a slow input does not hold back what came before.

    Args:
        inputs: what is read.
        encode: makes the JSON text of one input.
        skip: inputs that are left out at the beginning.
    """

    def __init__(
        self, inputs: Iterable[T], encode: Encode[T], *, skip: int = 0, hopper: Hopper | None = None
    ) -> None:
        self._inputs = inputs
        self._encode = encode
        self._skip = skip
        self._hopper = hopper or Hopper()
        self._changed = threading.Condition()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._hopper.stopped

    def start(self, name: str) -> None:
        """Begin to read. After `stop` the thread ends when the input gives its next item."""
        threading.Thread(target=self._read, name=name, daemon=True).start()

    def take(self, calls: int, *, wait_s: float) -> Chunk | None:
        """See `Source`."""
        until_s = time.monotonic() + wait_s
        with self._changed:
            self._hopper.want(calls)
            self._changed.notify_all()
            while (due_s := self._hopper.due_in_s(now_s := time.monotonic())) != 0.0:
                if now_s >= until_s:
                    return None
                self._changed.wait(_sooner(due_s, until_s - now_s))
            chunk = self._hopper.take()
            self._changed.notify_all()
        return chunk

    def stop(self) -> None:
        """The rest of the input is not wanted."""
        with self._changed:
            self._hopper.stopped = True
            self._changed.notify_all()

    def _read(self) -> None:
        error: Exception | None = None
        try:
            inputs = iter(self._inputs)
            try:
                for found in range(self._skip):
                    if next(inputs, _NOTHING) is _NOTHING:
                        raise _too_short(self._skip, found)
                for item in inputs:
                    if not self._put(self._encode(item)):
                        break
            finally:
                # A generator's own `with` and `finally` blocks end here, in the thread that ran it.
                close = getattr(inputs, "close", None)
                if close is not None and self._hopper.stopped:
                    with suppress(Exception):
                        close()
        except Exception as trouble:  # noqa: BLE001 - whatever the caller's iterable raises ends the input
            error = trouble
        with self._changed:
            self._hopper.end(error)
            self._changed.notify_all()

    def _put(self, text: bytes) -> bool:
        with self._changed:
            while not self._hopper.stopped and not self._hopper.fits(text):
                self._changed.notify_all()
                self._changed.wait()
            if self._hopper.stopped:
                return False
            if self._hopper.put(text, now_s=time.monotonic()):
                self._changed.notify_all()
        return True


class AsyncIntake(Generic[T]):
    """The same in an event loop: reads an iterable or an async iterable in a task.

    A plain iterable is read in the loop itself, so it must not block; an async one may wait as it likes.
    """

    def __init__(
        self,
        inputs: Iterable[T] | AsyncIterable[T],
        encode: Encode[T],
        *,
        skip: int = 0,
        hopper: Hopper | None = None,
    ) -> None:
        self._inputs = inputs
        self._encode = encode
        self._skip = skip
        self._hopper = hopper or Hopper()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._hopper.stopped

    def start(self, name: str) -> None:
        """Begin to read, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._read(), name=name)

    async def take(self, calls: int, *, wait_s: float) -> Chunk | None:
        """See `Source`."""
        until_s = time.monotonic() + wait_s
        self._hopper.want(calls)
        self._room.set()
        while (due_s := self._hopper.due_in_s(now_s := time.monotonic())) != 0.0:
            if now_s >= until_s:
                return None
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_sooner(due_s, until_s - now_s)):
                    await self._news.wait()
        chunk = self._hopper.take()
        self._room.set()
        return chunk

    def stop(self) -> None:
        """The rest of the input is not wanted."""
        self._hopper.stopped = True
        self._news.set()
        if self._task is not None:
            self._task.cancel()

    async def _read(self) -> None:
        error: Exception | None = None
        try:
            found = 0
            async for item in _each(self._inputs):
                found += 1
                if found > self._skip:
                    await self._put(self._encode(item))
            if found < self._skip:
                raise _too_short(self._skip, found)  # noqa: TRY301 - ends the input like any other trouble
        except Exception as trouble:  # noqa: BLE001 - whatever the caller's iterable raises ends the input
            error = trouble
        self._hopper.end(error)
        self._news.set()

    async def _put(self, text: bytes) -> None:
        while not self._hopper.fits(text):
            self._news.set()
            self._room.clear()
            await self._room.wait()
        if self._hopper.put(text, now_s=time.monotonic()):
            self._news.set()


async def _each(inputs: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(inputs, AsyncIterable):
        async for item in inputs:
            yield item
    else:
        for item in inputs:
            yield item


_NOTHING = object()


def _sooner(due_s: float | None, left_s: float) -> float:
    return left_s if due_s is None else min(due_s, left_s)


def _too_short(skip: int, found: int) -> ConfigurationError:
    return ConfigurationError(
        f"The job has accepted {skip} inputs, but this input has only {found}: resume with the same input"
    )
