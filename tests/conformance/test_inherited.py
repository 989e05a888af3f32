"""Guests that pool processes inherit from their parent: several processes at once, and their replacements."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_scheduler import Producer
from tests.conformance.guest import Guest
from tests.conformance.guests import GOOD, GUESTS
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

#: One for each way in which a guest is stopped.
HOSTILE = [
    GUESTS[name]
    for name in (
        "endless-loop",
        "out-of-fuel",
        "memory-at-once",
        "trap",
        "divide-by-zero",
        "wild-read",
        "recursion",
    )
]
PROCESSES = 3


@pytest.fixture
def worker(redis_server: RedisServer, tmp_path: Path) -> Iterator[Worker]:
    """A worker of several processes that has all these guests warm."""
    with redis_server.client() as client:
        catalog = RedisCatalog(client, Keys())
        for guest in (GOOD, *HOSTILE):
            catalog.publish(guest.bundle, guest.tools)
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    environment = {"PENSTOCK_CAPABILITIES": '["log", "env"]', "PENSTOCK_CACHE_DIR": str(tmp_path / "cache")}
    with Worker(broker=broker, folder=tmp_path / "w", processes=PROCESSES, environment=environment) as worker:
        yield worker


def pool(worker: Worker) -> dict[int, psutil.Process]:
    """The worker's pool processes, by id."""
    return {process.pid: process for process in psutil.Process(worker.pid).children()}


def check_all(producer: Producer) -> set[str]:
    """Every guest ends as it must, in several processes at once; says who ran them."""
    jobs = [
        (guest, producer.submit(f"{guest.name}.run", dict(guest.params)))
        for guest in (*HOSTILE, GOOD) * PROCESSES
    ]
    ended: list[tuple[Guest, str]] = []
    for guest, job in jobs:
        result = job.result(wait_s=60)
        assert (result.error and result.error.code) == guest.code, (guest.name, result)
        ended.append((guest, result.metadata.worker))
    return {ran_by for _, ran_by in ended}


def test_W10_guests_are_stopped_in_processes_that_inherited_them_and_in_their_replacements(
    worker: Worker, redis_server: RedisServer
) -> None:
    """Traps, deadlines, fuel and limits count in each process for itself, also after all were killed."""
    with Producer.connect(redis_server.url) as producer:
        first = check_all(producer)
        killed = pool(worker)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: len(pool(worker)) == PROCESSES and not killed.keys() & pool(worker).keys(),
            60,
            "every pool process is replaced",
        )
        second = check_all(producer)
        memory = {
            pid: [entry.path for entry in process.memory_maps(grouped=False) if "memfd" in entry.path]
            for pid, process in pool(worker).items()
        }

    assert f"Loaded before the fork, for all pool processes: {1 + len(HOSTILE)} plugins" in worker.log()
    assert not first & second
    assert len(memory) == PROCESSES
    assert all(memory.values()), "native code is mapped, as it was inherited"
    assert worker.stop() == 0
    assert "Fatal Python error" not in worker.log()
