"""Dramatiq, one message per call of a plain Python function; its defaults, results in the same Redis."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.plain import slug

HOUR_MS = 3_600_000


class Slugs:
    """A broker, a result store and the one actor on it."""

    def __init__(self, url: str) -> None:
        self.broker = RedisBroker(url=url)
        self.results = RedisBackend(url=url)
        self.broker.add_middleware(Results(backend=self.results, result_ttl=HOUR_MS))
        self.slug = dramatiq.actor(broker=self.broker, actor_name="slug", store_results=True)(slug)


#: What `dramatiq benchmarks.plain_dramatiq` runs; a client makes its own.
if "BENCH_WORKER" in os.environ:
    broker = Slugs(os.environ["BENCH_URL"]).broker
    dramatiq.set_broker(broker)
