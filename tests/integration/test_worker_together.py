"""A worker runs the calls of a batch by their plugin's batch entry point: each has its own result (B-5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import JobState
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.error_codes import ErrorCode
from penstock_scheduler import Producer
from penstock_workers.inspection import inspect_plugin
from tests.conformance.guest import Guest
from tests.conformance.test_batch_entry_point import ANIMAL, GOOD, HASTY, LOOPS, TRAPS
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.waiting import wait_until


@pytest.fixture
def producer(broker: Broker) -> Iterator[Producer]:
    """A producer on the test's broker."""
    with Producer.connect(broker.url, redis_url=broker.redis.url) as producer:
        yield producer


def publish(broker: Broker, guest: Guest) -> None:
    """Publish a guest of the conformance suite."""
    inspection = inspect_plugin(guest.bundle)
    assert inspection.ok, inspection.problems
    with broker.redis.client() as client:
        RedisCatalog(client, Keys()).publish(guest.bundle, inspection.tools, imports=list(inspection.imports))


def start(broker: Broker, folder: Path, **settings: object) -> Worker:
    """A worker with these settings."""
    environment = {
        "PENSTOCK_CACHE_DIR": str(folder / "cache"),
        **{f"PENSTOCK_{key.upper()}": str(value) for key, value in settings.items()},
    }
    return Worker(broker=broker, folder=folder / "w1", name="w1", environment=environment)


def test_B5_the_guilty_calls_of_a_map_fail_alone(broker: Broker, producer: Producer, tmp_path: Path) -> None:
    """The others succeed, most of them in an instance that they share, in input order."""
    deeds = [GOOD] * 300
    deeds[17], deeds[18], deeds[255] = TRAPS, LOOPS, TRAPS
    publish(broker, HASTY)

    with start(broker, tmp_path):
        results = producer.map("animal.run", ({"do": deed, "n": n} for n, deed in enumerate(deeds))).result(
            wait_s=60
        )

    failures = {r.index: r.error.code for r in results if r.error}
    assert failures == {17: ErrorCode.TRAP, 18: ErrorCode.TIMEOUT, 255: ErrorCode.TRAP}
    assert [r.data["n"] for r in results if r.success] == [n for n in range(300) if n not in failures]
    assert sum(r.metadata.batched > 1 for r in results) > 200
    assert all(r.metadata.execution_ms > 0 and r.metadata.queued_ms > 0 for r in results)


def test_B5_the_operator_can_switch_it_off(broker: Broker, producer: Producer, tmp_path: Path) -> None:
    """Then each call has its own instance, and the same result."""
    publish(broker, ANIMAL)

    with start(broker, tmp_path, batch_entry_point="false"):
        results = producer.map("animal.run", ({"do": GOOD, "n": n} for n in range(50))).result(wait_s=60)

    assert [r.data["n"] for r in results] == list(range(50))
    assert not any(r.metadata.batched for r in results)


def test_J2_a_cancel_stops_calls_that_share_an_instance(
    broker: Broker, producer: Producer, tmp_path: Path
) -> None:
    """At once, and the process serves the next call."""
    patient = replace(ANIMAL, limits={"timeout_s": 30.0})
    publish(broker, patient)

    with start(broker, tmp_path):
        job = producer.map("animal.run", ({"do": LOOPS, "n": n} for n in range(20)))
        wait_until(lambda: job.state is JobState.RUNNING, 30, "the job runs")
        job.cancel()
        results = job.result(wait_s=30)
        after = producer.submit("animal.run", {"do": GOOD, "n": 1}).result(wait_s=30)

    assert {r.error.code for r in results if r.error} == {ErrorCode.CANCELLED}
    assert after.success
