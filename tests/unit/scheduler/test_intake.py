"""Reading the input and submitting it wait for each other, and for nothing else."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest

from penstock_plugins.errors import ConfigurationError
from penstock_scheduler.hopper import Chunk, Hopper
from penstock_scheduler.intake import AsyncIntake, Intake

NEVER_S = 3600.0
WAIT_S = 60.0


def encode(number: int) -> bytes:
    """Inputs of these tests are numbers."""
    return str(number).encode()


def take(intake: Intake[int], calls: int) -> Chunk:
    """The next chunk."""
    chunk = intake.take(calls, wait_s=WAIT_S)
    assert chunk is not None
    return chunk


async def take_async(intake: AsyncIntake[int], calls: int) -> Chunk:
    """The next chunk."""
    chunk = await intake.take(calls, wait_s=WAIT_S)
    assert chunk is not None
    return chunk


def taken(intake: Intake[int], calls: int) -> list[Chunk]:
    """Every chunk until the input ends."""
    chunks = [take(intake, calls)]
    while not chunks[-1].ended:
        chunks.append(take(intake, calls))
    return chunks


async def taken_async(intake: AsyncIntake[int], calls: int) -> list[Chunk]:
    """Every chunk until the input ends."""
    chunks = [await take_async(intake, calls)]
    while not chunks[-1].ended:
        chunks.append(await take_async(intake, calls))
    return chunks


def texts(chunks: list[Chunk]) -> list[bytes]:
    """All params of the chunks."""
    return [text for chunk in chunks for text in chunk.texts]


def test_every_input_comes_out_once_in_order() -> None:
    """Whatever the chunk size."""
    intake = Intake(range(1000), encode, hopper=Hopper(linger_s=NEVER_S))
    intake.start("test")

    chunks = taken(intake, 64)

    assert texts(chunks) == [encode(n) for n in range(1000)]
    assert [len(chunk.texts) for chunk in chunks][:-1] == [64] * 15


def test_a_slow_input_does_not_hold_back_what_came_before() -> None:
    """The first input is sent although the iterator waits for the second for ever."""
    more: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    intake = Intake(iter(more.get, None), encode, hopper=Hopper(linger_s=0))
    intake.start("test")

    more.put(7)

    assert take(intake, 512).texts == [b"7"]
    more.put(None)
    assert take(intake, 512).ended


def test_an_endless_input_is_read_no_further_than_one_chunk_ahead() -> None:
    """A generator of a million inputs does not sit in memory."""
    read: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            read.append(len(read))
            yield len(read)

    intake = Intake(endless(), encode, hopper=Hopper(linger_s=NEVER_S))
    intake.start("test")
    for _ in range(3):
        take(intake, 10)

    intake.stop()

    assert len(read) <= 3 * 10 + 10 + 1


def test_an_input_that_raises_ends_with_its_error_after_what_it_gave() -> None:
    """Nothing that was read is lost."""

    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("row 3")

    intake = Intake(broken(), encode, hopper=Hopper(linger_s=NEVER_S))
    intake.start("test")

    chunks = taken(intake, 512)

    assert texts(chunks) == [b"1", b"2"]
    assert isinstance(chunks[-1].error, ValueError)


def test_something_that_is_no_iterable_is_an_error_of_the_input() -> None:
    """The thread that reads must not die unheard."""
    intake: Intake[int] = Intake(5, encode)  # type: ignore[arg-type]
    intake.start("test")

    assert isinstance(take(intake, 1).error, TypeError)


def test_stopping_wakes_the_feeder_and_closes_the_generator() -> None:
    """Its own `finally` runs, in the thread that ran it."""
    closed = threading.Event()

    def counted() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    intake = Intake(counted(), encode, hopper=Hopper(linger_s=NEVER_S))
    intake.start("test")
    take(intake, 5)

    intake.stop()

    assert take(intake, 5) == Chunk()
    assert closed.wait(10)


def test_a_resumed_input_leaves_out_what_was_accepted() -> None:
    """It begins with the first input that was not."""
    intake = Intake(range(10), encode, skip=7)
    intake.start("test")

    assert texts(taken(intake, 512)) == [b"7", b"8", b"9"]


def test_a_resumed_input_that_is_too_short_is_refused() -> None:
    """It cannot be the same input."""
    intake = Intake(range(3), encode, skip=7)
    intake.start("test")

    error = taken(intake, 512)[-1].error

    assert isinstance(error, ConfigurationError)
    assert "only 3" in str(error)


async def counting(to: int) -> AsyncIterator[int]:
    """An asynchronous input."""
    for number in range(to):
        await asyncio.sleep(0)
        yield number


@pytest.mark.parametrize("inputs", [range(300), counting(300)], ids=["plain", "async"])
async def test_both_kinds_of_input_come_out_in_order_in_a_loop(
    inputs: Iterable[int] | AsyncIterator[int],
) -> None:
    """Plain iterables and asynchronous ones."""
    intake = AsyncIntake(inputs, encode, hopper=Hopper(linger_s=NEVER_S))
    intake.start("test")

    chunks = await taken_async(intake, 64)

    assert texts(chunks) == [encode(n) for n in range(300)]


async def test_a_slow_asynchronous_input_does_not_hold_back_what_came_before() -> None:
    """The first input is sent although the iterator waits for ever."""

    async def slow() -> AsyncIterator[int]:
        yield 7
        await asyncio.Event().wait()

    intake = AsyncIntake(slow(), encode, hopper=Hopper(linger_s=0))
    intake.start("test")

    chunk = await take_async(intake, 512)

    assert chunk.texts == [b"7"]
    intake.stop()
    assert await take_async(intake, 512) == Chunk()


async def test_a_feeder_without_input_gets_nothing_in_time() -> None:
    """So that it can look after its job; in both worlds."""
    silent: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    blocking = Intake(iter(silent.get, None), encode)
    blocking.start("test")

    async def quiet() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1

    awaiting = AsyncIntake(quiet(), encode)
    awaiting.start("test")

    assert blocking.take(8, wait_s=0) is None
    assert await awaiting.take(8, wait_s=0) is None
    silent.put(None)
    awaiting.stop()


async def test_an_asynchronous_input_that_raises_ends_with_its_error() -> None:
    """What it gave before is kept."""

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ValueError("row 2")

    intake = AsyncIntake(broken(), encode, hopper=Hopper(linger_s=NEVER_S))
    intake.start("test")

    chunks = await taken_async(intake, 512)

    assert texts(chunks) == [b"1"]
    assert isinstance(chunks[-1].error, ValueError)


async def test_a_resumed_asynchronous_input_that_is_too_short_is_refused() -> None:
    """It cannot be the same input."""
    intake = AsyncIntake(counting(3), encode, skip=7)
    intake.start("test")

    assert isinstance((await taken_async(intake, 512))[-1].error, ConfigurationError)
