"""The asyncio producer on a real Redis: the same operations, in one event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis

from penstock_broker_config.ledger import JobState
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import (
    ExecutionError,
    JobFailedError,
    JobNotFoundError,
    ParamsError,
    UnreachableError,
    WaitTimeoutError,
)
from penstock_scheduler import AsyncProducer
from tests.support.ledger_worker import LedgerWorker, publish
from tests.support.ports import LOOPBACK, free_port
from tests.support.redis_server import RedisServer

WAIT_S = 60.0


def double(params: dict[str, Any]) -> int:
    """The tool of most tests. A negative number is a failure of its own."""
    number = int(params["n"])
    if number < 0:
        raise ExecutionError(f"{number} is negative", {"n": number})
    return 2 * number


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the test's Redis, with the plugin `demo` in its catalog."""
    with redis_server.client() as client:
        publish(client, "double", parameters={"type": "object", "properties": {"n": {"type": "integer"}}})
        yield client


@pytest.fixture
def worker(redis_server: RedisServer, client: redis.Redis) -> Iterator[LedgerWorker]:
    """Somebody who runs what is submitted."""
    with LedgerWorker(redis_server.url, {"demo.double": double}) as worker:
        yield worker


@pytest.fixture
async def producer(redis_server: RedisServer, client: redis.Redis) -> AsyncIterator[AsyncProducer]:
    """A producer on the test's Redis."""
    producer = AsyncProducer.connect(redis_server.url)
    yield producer
    await producer.close(wait=False)


async def numbers(count: int) -> AsyncIterator[dict[str, int]]:
    """Inputs of a map."""
    for n in range(count):
        yield {"n": n}


async def wait_for(condition: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until the condition gives something true; other tasks run meanwhile."""
    until = time.monotonic() + WAIT_S
    while not await condition():
        if time.monotonic() > until:
            raise TimeoutError(f"Not yet: {what}")
        await asyncio.sleep(0.01)


class TestSubmit:
    """One call."""

    async def test_awaiting_a_job_gives_its_result(
        self, producer: AsyncProducer, worker: LedgerWorker
    ) -> None:
        """Which is the tool's, also when it failed."""
        good = await producer.submit("double", {"n": 21})
        bad = await producer.submit("double", {"n": -1})

        assert (await good).data == 42
        error = (await bad).error
        assert error is not None
        assert error.code is ErrorCode.EXECUTION_ERROR
        assert (await good.result(WAIT_S)).call_id == f"{good.id}.0"

    async def test_many_jobs_are_awaited_at_once_without_a_thread_each(
        self, producer: AsyncProducer, worker: LedgerWorker, client: redis.Redis
    ) -> None:
        """Over a few connections, one of them for all wake-ups."""
        worker.hold()
        client.config_resetstat()
        jobs = await asyncio.gather(*(producer.submit("double", {"n": n}) for n in range(500)))
        statistics: Any = client.info("commandstats")
        readings = [statistics.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("hvals", "hgetall")]
        assert 1 <= sum(readings) <= 3, "they share readings of the catalog"
        threads = threading.active_count()
        waiting = [asyncio.ensure_future(job.result(WAIT_S)) for job in jobs]
        await wait_for(
            lambda: asyncio.to_thread(lambda: len(client.pubsub_channels("penstock:j:*")) == 500),
            "all are listened to",
        )
        assert threading.active_count() <= threads + 8  # the test's own `to_thread`
        assert len([c for c in client.client_list() if c["name"] == "penstock"]) <= 40

        worker.open.set()

        assert [result.data for result in await asyncio.gather(*waiting)] == [2 * n for n in range(500)]

    async def test_a_wait_that_is_too_short_leaves_the_job_alone(self, producer: AsyncProducer) -> None:
        """No worker runs here."""
        job = await producer.submit("double", {"n": 1})

        with pytest.raises(WaitTimeoutError):
            await job.result(0.05)
        assert await job.state() is JobState.QUEUED

    async def test_bad_params_are_refused(self, producer: AsyncProducer) -> None:
        """With their paths."""
        with pytest.raises(ParamsError, match=r"\$\.n"):
            await producer.submit("double", {"n": "many"})

    async def test_a_cancelled_wait_harms_nobody(self, producer: AsyncProducer, worker: LedgerWorker) -> None:
        """The job, the producer and its other waits go on."""
        worker.hold()
        job = await producer.submit("double", {"n": 1})
        given_up, other = asyncio.ensure_future(job.result()), asyncio.ensure_future(job.result(WAIT_S))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(given_up), 0.05)

        given_up.cancel()
        worker.open.set()

        assert (await other).data == 2


class TestMap:
    """Many calls."""

    async def test_results_are_in_input_order(self, producer: AsyncProducer, worker: LedgerWorker) -> None:
        """From an asynchronous input, and from a plain one."""
        first = await producer.map("double", numbers(1000))
        second = await producer.map("double", ({"n": n} for n in range(1000)))

        assert [result.data for result in await first] == [2 * n for n in range(1000)]
        assert [result.data for result in await second] == [2 * n for n in range(1000)]
        assert await first.submitted() == 1000

    async def test_results_come_as_calls_end(self, producer: AsyncProducer, worker: LedgerWorker) -> None:
        """While the input still goes on."""
        more: asyncio.Queue[int | None] = asyncio.Queue()

        async def inputs() -> AsyncIterator[dict[str, int]]:
            while (n := await more.get()) is not None:
                yield {"n": n}

        job = await producer.map("double", inputs())
        results = job.results(WAIT_S)
        seen = []
        for n in range(5):
            more.put_nowait(n)
            seen.append((await anext(results)).data)
        more.put_nowait(None)

        assert seen == [0, 2, 4, 6, 8]
        assert [result async for result in results] == []

    async def test_an_input_that_raises_fails_the_job_and_keeps_what_it_gave(
        self, producer: AsyncProducer, worker: LedgerWorker
    ) -> None:
        """I-3."""

        async def broken() -> AsyncIterator[dict[str, int]]:
            async for row in numbers(20):
                yield row
            raise OSError("the disk is gone")

        job = await producer.map("double", broken())

        with pytest.raises(JobFailedError, match="the disk is gone"):
            await job.submitted(WAIT_S)
        given = []

        async def read() -> None:
            async for result in job.results(WAIT_S):
                given.append(result.data)

        with pytest.raises(JobFailedError):
            await read()
        assert sorted(given) == [2 * n for n in range(20)]

    async def test_what_is_in_flight_is_bounded(
        self, redis_server: RedisServer, client: redis.Redis, worker: LedgerWorker
    ) -> None:
        """A large input waits for the workers."""
        worker.hold()
        async with AsyncProducer.connect(redis_server.url, max_in_flight=50) as producer:
            job = await producer.map("double", numbers(500))

            async def filled() -> bool:
                return (await job.progress()).accepted >= 24

            await wait_for(filled, "the window fills")
            with pytest.raises(WaitTimeoutError):
                await job.submitted(0.5)
            assert (await job.progress()).accepted <= 50

            worker.open.set()
            assert len(await job) == 500

    async def test_it_is_resumed_by_another_producer(
        self, redis_server: RedisServer, client: redis.Redis, worker: LedgerWorker
    ) -> None:
        """Every input has one result."""

        async def cut_off() -> AsyncIterator[dict[str, int]]:
            async for row in numbers(100):
                yield row
            await asyncio.Event().wait()

        first = AsyncProducer.connect(redis_server.url)
        job = await first.map("double", cut_off())

        async def accepted() -> bool:
            return (await job.progress()).accepted == 100

        await wait_for(accepted, "100 are accepted")
        await first.close(wait=False)
        with pytest.raises(JobFailedError, match="resumed"):
            await job.submitted()

        async with AsyncProducer.connect(redis_server.url) as second:
            again = await second.map("double", numbers(150), job=job.id)
            assert [result.data for result in await again] == [2 * n for n in range(150)]


class TestEnds:
    """Jobs that end otherwise, and Redis that goes away."""

    async def test_a_cancelled_job_wakes_whoever_waits(
        self, producer: AsyncProducer, redis_server: RedisServer
    ) -> None:
        """In the same loop."""
        job = await producer.submit("double", {"n": 1})
        waiting = asyncio.ensure_future(job.result(WAIT_S))

        assert await (await producer.job(job.id)).cancel()

        error = (await waiting).error
        assert error is not None
        assert error.code is ErrorCode.CANCELLED

    async def test_a_cancelled_map_ends_its_feeder(self, producer: AsyncProducer) -> None:
        """Also one that waits for its input."""
        job = await producer.map("double", endless())

        await job.cancel()

        await job.submitted(WAIT_S)
        assert await job.state() is JobState.CANCELLED

    async def test_an_unknown_job_is_not_found(self, producer: AsyncProducer) -> None:
        """Expired ones neither."""
        with pytest.raises(JobNotFoundError):
            await producer.job("nosuchjob")

    async def test_jobs_and_tools_are_listed(self, producer: AsyncProducer) -> None:
        """As `Producer` does."""
        job = await producer.submit("double", {"n": 1})

        assert [record.id for record in await producer.jobs()] == [job.id]
        assert [tool.full_name for tool in await producer.tools()] == ["demo.double"]

    async def test_a_redis_that_does_not_answer_is_said(self) -> None:
        """With what to do about it, when the block is entered."""
        with pytest.raises(UnreachableError, match="penstock up"):
            async with AsyncProducer.connect(f"redis://{LOOPBACK}:{free_port()}/0"):
                pass

    async def test_a_lost_wake_up_connection_is_made_anew(
        self, producer: AsyncProducer, worker: LedgerWorker, client: redis.Redis
    ) -> None:
        """And what was not heard meanwhile is read."""
        worker.hold()
        job = await producer.submit("double", {"n": 1})
        waiting = asyncio.ensure_future(job.result(WAIT_S))

        async def listening() -> object:
            return client.pubsub_channels("penstock:j:*")

        await wait_for(listening, "it listens")

        client.client_kill_filter(_type="pubsub")
        worker.open.set()

        assert (await waiting).data == 2

    async def test_a_restart_of_redis_is_passed_over(self, durable_redis: RedisServer) -> None:
        """Feeders and waits go on, and what happened meanwhile is read again."""
        with durable_redis.client() as client:
            publish(client, "double")
        half, rest = asyncio.Event(), asyncio.Event()

        async def inputs() -> AsyncIterator[dict[str, int]]:
            async for row in numbers(100):
                yield row
            half.set()
            await rest.wait()
            for n in range(100, 200):
                yield {"n": n}

        with LedgerWorker(durable_redis.url, {"demo.double": double}) as worker:
            async with AsyncProducer.connect(durable_redis.url) as producer:
                worker.hold()
                single = await producer.submit("double", {"n": 1000})
                waiting = asyncio.ensure_future(single.result(WAIT_S))
                job = await producer.map("double", inputs())
                await half.wait()

                await asyncio.to_thread(durable_redis.kill)
                worker.open.set()
                rest.set()
                await asyncio.to_thread(durable_redis.start)

                assert (await waiting).data == 2000
                assert [result.data for result in await job.result(WAIT_S)] == [2 * n for n in range(200)]


async def endless() -> AsyncIterator[dict[str, int]]:
    """Gives one input, and then nothing for ever."""
    yield {"n": 1}
    await asyncio.Event().wait()
