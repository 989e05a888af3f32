"""A user's own app with a worker of its own, on the broker that Penstock's worker and scheduler are on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.canvas import Signature

from penstock_scheduler import Producer
from tests.integration.foreign_canvas import their_app
from tests.support.brokers import Broker
from tests.support.lab import publish_lab
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.processes import Process
from tests.support.publishing import publish_shipped


class Site:
    """Both systems on one broker; their app, and a producer of ours, in this process."""

    def __init__(self, broker: Broker, folder: Path, stack: ExitStack) -> None:
        """Connect; no worker and no scheduler is started."""
        self.broker, self.folder, self._stack = broker, folder, stack
        self.theirs: Celery = their_app.make(broker.url, broker.redis.url)
        self.producer = stack.enter_context(Producer.connect(broker.url, redis_url=broker.redis.url))
        stack.callback(self.theirs.close)

    def sign(self, *args: Any, **options: Any) -> Signature[Any]:
        """A signature of ours for their app."""
        return self.producer.signature(*args, app=self.theirs, **options)

    def noted(self, key: str) -> list[str]:
        """What their tasks have noted under a key."""
        with self.broker.redis.client() as client:
            found: Any = client.lrange(key, 0, -1)
            return [one.decode() for one in found]

    def their_worker(self) -> None:
        """Start a worker of theirs."""
        worker = Process(
            [sys.executable, their_app.__file__],
            name="theirs",
            folder=self.folder,
            environment={"THEIR_BROKER": self.broker.url, "THEIR_BACKEND": self.broker.redis.url},
            ready="ready.",
        )
        self._stack.enter_context(worker)

    def worker(self, name: str = "w1", environment: Mapping[str, str] | None = None) -> Worker:
        """Start a worker of ours."""
        cache = {"PENSTOCK_CACHE_DIR": str(self.folder / "cache"), **(environment or {})}
        worker = Worker(
            broker=self.broker, folder=self.folder / name, name=name, processes=2, environment=cache
        )
        return self._stack.enter_context(worker)

    def scheduler(self, environment: Mapping[str, str] | None = None) -> Scheduler:
        """Start a scheduler of ours."""
        folder = self.folder / "scheduler"
        return self._stack.enter_context(
            Scheduler(broker=self.broker, folder=folder, environment=environment)
        )


@pytest.fixture
def published(broker: Broker, tmp_path: Path) -> Iterator[Site]:
    """On Redis, then on RabbitMQ; `text` and `lab` are published, and nothing runs."""
    publish_shipped(broker.redis, "text")
    with broker.redis.client() as client:
        publish_lab(client)
    with ExitStack() as stack:
        yield Site(broker, tmp_path, stack)


@pytest.fixture
def site(published: Site) -> Site:
    """`published`, with a worker of their app."""
    published.their_worker()
    return published
