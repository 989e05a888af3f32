"""taskiq, one message per call of a plain function; its list broker, results as JSON in the same Redis."""

from __future__ import annotations

import os

from taskiq.serializers import JSONSerializer
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from benchmarks import plain

HOUR_S = 3600


class Slugs:
    """A broker and the one task on it."""

    def __init__(self, url: str) -> None:
        results: RedisAsyncResultBackend[dict[str, str]] = RedisAsyncResultBackend(
            url, result_ex_time=HOUR_S, serializer=JSONSerializer()
        )
        self.broker = ListQueueBroker(url).with_result_backend(results)
        self.slug = self.broker.register_task(slug, task_name="plain.slug")


async def slug(text: str) -> dict[str, str]:
    """Asynchronous, because taskiq sends other functions to a thread each, which costs it more."""
    return plain.slug(text)


#: What `taskiq worker benchmarks.plain_taskiq:broker` runs; a client makes its own.
if "BENCH_WORKER" in os.environ:
    broker = Slugs(os.environ["BENCH_URL"]).broker
