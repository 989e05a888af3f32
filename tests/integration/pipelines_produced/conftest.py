"""A system on which pipelines run: a worker of two processes, a scheduler, the plugins `text` and `lab`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock_scheduler import Producer
from tests.support.brokers import Broker
from tests.support.lab import publish_lab
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.publishing import publish_shipped
from tests.support.redis_server import RedisServer


@pytest.fixture
def store(redis_server: RedisServer) -> Broker:
    """Redis as the broker and the store; both plugins are published."""
    publish_shipped(redis_server, "text")
    with redis_server.client() as client:
        publish_lab(client)
    return Broker(server=redis_server, url=redis_server.url, redis=redis_server)


@pytest.fixture
def system(store: Broker, tmp_path: Path) -> Iterator[Broker]:
    """The same with a worker and a scheduler."""
    cache = {"PENSTOCK_CACHE_DIR": str(tmp_path / "cache")}
    with ExitStack() as stack:
        worker = Worker(broker=store, folder=tmp_path / "w1", processes=2, environment=cache)
        scheduler = Scheduler(broker=store, folder=tmp_path / "scheduler")
        for process in (worker, scheduler):
            stack.enter_context(process)
        yield store


@pytest.fixture
def producer(store: Broker) -> Iterator[Producer]:
    """A producer on the test's Redis."""
    producer = Producer.connect(store.url, redis_url=store.redis.url)
    yield producer
    producer.close(wait=False)
