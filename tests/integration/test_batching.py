"""Calls that wait, from a producer through a scheduler and a worker, on both brokers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import JobState, Ledger, LimitChange
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ConfigurationError, OverloadedError
from penstock_scheduler import AsyncProducer, Producer
from tests.chaos.witness import FAILED_ATTEMPTS, executions, publish_witness
from tests.support.brokers import Broker
from tests.support.lab import publish_lab
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.publishing import publish_shipped
from tests.support.waiting import wait_until


@pytest.fixture
def system(broker: Broker, tmp_path: Path) -> Iterator[Broker]:
    """Two schedulers and a worker with the plugins `text`, `hostile` and `lab`."""
    publish_shipped(broker.redis, "text")
    publish_shipped(broker.redis, "hostile")
    with broker.redis.client() as client:
        publish_lab(client)
    with ExitStack() as stack:
        for number in range(2):
            stack.enter_context(Scheduler(broker=broker, folder=tmp_path / f"s{number}", name=f"s{number}"))
        stack.enter_context(Worker(broker=broker, folder=tmp_path / "w1"))
        yield broker


@pytest.fixture
def producer(broker: Broker) -> Iterator[Producer]:
    """A producer on the test's broker."""
    with Producer.connect(broker.url, redis_url=broker.redis.url) as producer:
        yield producer


@pytest.fixture
def ledger(broker: Broker) -> Iterator[Ledger]:
    """The system's ledger."""
    with broker.redis.client() as client:
        yield Ledger(client, Keys())


def test_B1_calls_with_one_key_meet_in_batches(system: Broker, producer: Producer) -> None:
    """Each submission is a job of its own, and has its own result or error."""
    jobs = [producer.submit("text.slug", {"text": f"No {k}"}, batch_key="k") for k in range(100)]

    results = [job.result(wait_s=30) for job in jobs]

    assert [result.data for result in results] == [{"slug": f"no-{k}"} for k in range(100)]
    assert {result.index for result in results} == {None}


def test_B1_a_map_may_have_a_key(system: Broker, producer: Producer) -> None:
    """Its results stand at its inputs; what does not fit the schema fails alone."""
    rows = [{"text": f"No {k}"} if k != 7 else {"nothing": 1} for k in range(300)]

    results = producer.map("text.slug", rows, batch_key="k").result(wait_s=30)

    good = {"slug": "no-299"}
    assert results[299].data == good
    assert [r.index for r in results if not r.success] == [7]
    assert results[7].error is not None
    assert results[7].error.code is ErrorCode.VALIDATION_ERROR


def test_B1_what_waits_leaves_when_the_producer_says_so(
    system: Broker, producer: Producer, ledger: Ledger
) -> None:
    """Long before its time; how many calls were waiting is what `flush` returns."""
    ledger.change_limit("tool:text.slug", LimitChange(paused_until_ms=10**13))
    job = producer.submit("text.slug", {"text": "x"}, batch_key="k")
    waiting = producer.flush("text.slug", "other")
    ledger.change_limit("tool:text.slug", LimitChange(paused_until_ms=0))

    assert waiting == 0
    assert job.result(wait_s=30).success


def test_B1_a_call_of_an_async_producer_waits_as_well(system: Broker) -> None:
    """The same options, awaited."""

    async def run() -> list[bool]:
        async with AsyncProducer.connect(system.url, redis_url=system.redis.url) as producer:
            jobs = [
                await producer.submit("text.slug", {"text": "x"}, batch_key="k", eta_s=0.05) for _ in range(5)
            ]
            await producer.flush("text.slug", "k")
            return [(await job.result(wait_s=30)).success for job in jobs]

    assert asyncio.run(run()) == [True] * 5


def test_a_delayed_call_runs_when_its_time_comes(system: Broker, producer: Producer) -> None:
    """Not before; and no worker and no message waits for it."""
    job = producer.submit("text.slug", {"text": "x"}, eta_s=0.5)
    result, record = job.result(wait_s=30), job.record()

    assert (record.started_ms or 0) - record.created_ms >= 500
    assert result.metadata.queued_ms is not None
    assert result.success


def test_a_delay_beyond_the_deadline_is_refused(broker: Broker, producer: Producer) -> None:
    """It could never run."""
    publish_shipped(broker.redis, "text")
    with pytest.raises(ConfigurationError, match="eta_s"):
        producer.submit("text.slug", {"text": "x"}, eta_s=5, deadline_s=1)


def test_B2_the_operator_limits_a_tool_while_it_runs(
    system: Broker, producer: Producer, ledger: Ledger
) -> None:
    """A pause holds up what comes; its end lets it go."""
    ledger.change_limit("tool:text.slug", LimitChange(paused_until_ms=10**13))
    job = producer.submit("text.slug", {"text": "x"})
    many = producer.map("text.slug", [{"text": str(k)} for k in range(200)])
    other = producer.submit("text.stats", {"text": "x"}).result(wait_s=30)
    held = (job.state, many.progress().done)

    ledger.clear_limit("tool:text.slug")

    assert other.success
    assert held == (JobState.QUEUED, 0)
    assert job.result(wait_s=30).success
    assert all(result.success for result in many.result(wait_s=30))


def test_J2_one_call_of_a_running_batch_is_cancelled(system: Broker, producer: Producer) -> None:
    """The guest stops, the process survives, and the other calls of the batch get their results."""
    loops = [producer.submit("lab.forever", {}, batch_key="k") for _ in range(3)]
    wait_until(lambda: all(job.state is JobState.RUNNING for job in loops), 30, "they run")

    for job in loops:
        job.cancel()
    results = [job.result(wait_s=30) for job in loops]

    assert [result.error.code for result in results if result.error] == [ErrorCode.CANCELLED] * 3
    assert producer.submit("text.slug", {"text": "x"}).result(wait_s=30).success


def test_J1_one_call_of_a_batch_is_past_its_deadline(system: Broker, producer: Producer) -> None:
    """It ends TIMEOUT, and those that have time do not."""
    hurried = producer.submit("hostile.loop", {}, batch_key="k", deadline_s=1.0, timeout_s=60)
    patient = producer.submit("text.slug", {"text": "x"}, batch_key="k")

    assert patient.result(wait_s=30).success
    result = hurried.result(wait_s=30)
    assert result.error is not None
    assert result.error.code is ErrorCode.TIMEOUT


def test_B3_a_map_waits_where_a_submit_is_refused(broker: Broker, tmp_path: Path) -> None:
    """Beyond the bound: OVERLOADED for one, patience for the other."""
    publish_shipped(broker.redis, "text")
    few = {"max_pending_calls": 50}
    with Producer.connect(broker.url, redis_url=broker.redis.url, **few) as producer:
        many = producer.map("text.slug", ({"text": str(k)} for k in range(400)))
        wait_until(lambda: many.progress().accepted > 20, 30, "some are accepted")
        with pytest.raises(OverloadedError) as refused:
            _flood(producer)
        with Worker(broker=broker, folder=tmp_path / "w1"):
            results = many.result(wait_s=60)

    assert refused.value.details["retry_after_s"] > 0
    assert len(results) == 400


@pytest.mark.parametrize("options", [{}, {"batch_key": "k"}])
def test_E2_what_failed_in_passing_is_tried_again(
    broker: Broker, producer: Producer, tmp_path: Path, options: dict[str, Any]
) -> None:
    """As often as its tool says; the wait is in the queue, and the last failure is the result."""
    with broker.redis.client() as client:
        publish_witness(client, Keys())
    seen = tmp_path / "witness.log"
    environment = {"PENSTOCK_GUEST_LOG_FILE": str(seen)}
    with (
        Scheduler(broker=broker, folder=tmp_path / "s"),
        Worker(broker=broker, folder=tmp_path / "w", environment=environment),
    ):
        jobs = [producer.submit("witness.failed", {"n": n}, **options) for n in range(3)]
        results = [job.result(wait_s=60) for job in jobs]

    assert [result.error.code for result in results if result.error] == [ErrorCode.RATE_LIMIT] * 3
    assert [result.metadata.attempts for result in results] == [FAILED_ATTEMPTS] * 3
    assert executions(seen) == dict.fromkeys(range(3), FAILED_ATTEMPTS)


def _flood(producer: Producer) -> None:
    for _ in range(60):
        producer.submit("text.slug", {"text": "x"})
