"""Large params and results travel by digest, and nobody notices; in Redis, and under a URL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from penstock.embedded import EmbeddedRedis
from penstock_broker_config.keys import Keys
from penstock_broker_config.settings import load_settings
from penstock_broker_config.value_references import INLINE_BYTES, MAX_VALUE_BYTES
from penstock_broker_config.values import CHUNK_BYTES, ORPHAN_MS, RedisValues, UrlValues, Values
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ConfigurationError, ParamsError, ValueLostError
from penstock_scheduler import AsyncProducer, Producer
from tests.support.brokers import Broker
from tests.support.lab import publish_lab
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.publishing import publish_shipped
from tests.support.redis_server import RedisServer

LARGE = "Lorem ipsum " * 40_000


@pytest.fixture(params=["redis", "url"])
def values(request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path) -> Iterator[Values]:
    """Both places in turn."""
    if request.param == "url":
        yield UrlValues(f"file://{tmp_path / 'values'}")
        return
    with redis_server.client() as client:
        client.flushall()
        yield RedisValues(client, Keys())


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_value_is_what_it_was(values: Values, size: int) -> None:
    """Whatever its size; and putting it twice is fine."""
    value = bytes(range(256)) * (size // 256 + 1)

    references = [values.put("job", value[:size]) for _ in range(2)]

    assert references[0] == references[1]
    assert values.get("job", references[0]) == value[:size]


def test_a_value_is_of_one_job(values: Values) -> None:
    """It goes with it, so another job's reference does not count."""
    reference = values.put("job", b"x")

    with pytest.raises(ValueLostError, match="gone"):
        values.get("other", reference)


def test_the_oldest_redis_that_we_take_keeps_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the `embedded` extra: for an hour before their job is there, and not anew with each."""
    monkeypatch.setenv("PATH", str(tmp_path))
    large = b"x" * (CHUNK_BYTES + 1)

    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        values, key = RedisValues(client, Keys()), Keys().values("job")
        reference = values.put("job", large)
        before_s = int(client.ttl(key))
        client.expire(key, 10)
        values.put("job", b"y")
        after_s = int(client.ttl(key))
        client.hset(Keys().job("later"), "state", "running")
        values.put("later", b"z")
        later_s = int(client.ttl(Keys().values("later")))

        assert values.get("job", reference) == large

    assert ORPHAN_MS / 1000 - 60 < before_s <= ORPHAN_MS / 1000
    assert 0 < after_s <= 10
    assert later_s > before_s


@pytest.mark.parametrize(
    "reference", [b"@", b"@sha256:xx:1", b"@sha256:" + b"0" * 64 + b":%d" % (MAX_VALUE_BYTES + 1), b"{}"]
)
def test_what_is_no_reference_is_refused(values: Values, reference: bytes) -> None:
    """Records are in a Redis that others may write to."""
    with pytest.raises(ValueLostError):
        values.get("job", reference)


def test_a_value_that_was_changed_is_refused(redis_server: RedisServer, tmp_path: Path) -> None:
    """It is not what its digest says."""
    with redis_server.client() as client:
        in_redis = RedisValues(client, Keys())
        reference = in_redis.put("changed", b"good")
        digest = reference.split(b":")[1].decode()
        client.hset(Keys().values("changed"), f"{digest}:0", b"evil")
        with pytest.raises(ValueLostError, match="changed"):
            in_redis.get("changed", reference)
    under_url = UrlValues(f"file://{tmp_path}")
    under_url.put("changed", b"good")
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    file.write_bytes(b"evil")
    with pytest.raises(ValueLostError, match="changed"):
        under_url.get("changed", reference)


def test_values_of_jobs_that_are_gone_are_collected(tmp_path: Path) -> None:
    """Under a URL nothing expires by itself; what was put just before its job is submitted stays."""
    values = UrlValues(f"file://{tmp_path}")
    kept, gone = values.put("live", b"x"), values.put("gone", b"y")

    removed = [values.collect(["live"]) for _ in range(2)]

    assert removed == [0, 1], "it is looked at twice before it goes"
    assert values.get("live", kept) == b"x"
    with pytest.raises(ValueLostError):
        values.get("gone", gone)


def test_a_url_that_cannot_be_used_is_refused() -> None:
    """In words."""
    with pytest.raises(ConfigurationError, match="values_url"):
        UrlValues("nothing://at/all")


@pytest.fixture(params=["redis", "url"])
def system(request: pytest.FixtureRequest, broker: Broker, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A scheduler and a worker with `text`, `markdown` and `lab`; yields a producer's settings."""
    for name in ("text", "markdown"):
        publish_shipped(broker.redis, name)
    with broker.redis.client() as client:
        publish_lab(client)
    environment = {}
    if request.param == "url":
        environment["PENSTOCK_VALUES_URL"] = f"file://{tmp_path / 'values'}"
    with ExitStack() as stack:
        stack.enter_context(Scheduler(broker=broker, folder=tmp_path / "s", environment=environment))
        stack.enter_context(Worker(broker=broker, folder=tmp_path / "w", environment=environment))
        settings = {"broker_url": broker.url, "redis_url": broker.redis.url}
        if request.param == "url":
            settings["values_url"] = environment["PENSTOCK_VALUES_URL"]
        yield settings


def test_large_params_and_results_come_through(system: dict[str, str], broker: Broker) -> None:
    """Alone, with a key, and in a map between small ones; and the ledger's records stay small."""
    with Producer(load_settings(**system)) as producer, broker.redis.client() as client:
        single = producer.submit("markdown.to_html", {"text": LARGE})
        keyed = producer.submit("markdown.to_html", {"text": LARGE}, batch_key="k")
        rows = [{"text": LARGE if n % 3 == 0 else "small"} for n in range(7)]
        many = producer.map("text.stats", rows).result(wait_s=60)
        results = [single.result(wait_s=60), keyed.result(wait_s=60)]
        again = producer.job(single.id).result(wait_s=60)
        kept = sum(len(value) for value in client.hvals(Keys().successes(single.id)))

    assert [len(result.data["html"]) > INLINE_BYTES for result in results] == [True, True]
    assert again.data == results[0].data
    assert [result.data["bytes"] for result in many] == [len(row["text"]) for row in rows]
    assert kept < 1000


def test_large_values_of_an_async_producer(system: dict[str, str]) -> None:
    """The same, awaited."""

    async def run() -> int:
        async with AsyncProducer(load_settings(**system)) as producer:
            job = await producer.submit("markdown.to_html", {"text": LARGE})
            return len((await job.result(wait_s=60)).data["html"])

    assert asyncio.run(run()) > INLINE_BYTES


def test_a_plugin_need_not_ask_for_large_values(system: dict[str, str]) -> None:
    """`lab` says nothing of limits; it takes 1 MiB of params."""
    params = {"text": LARGE}
    with Producer(load_settings(**system)) as producer:
        assert producer.submit("lab.echo", params).result(wait_s=60).data == params
        with pytest.raises(ParamsError, match="the tool takes 1048576"):
            producer.submit("lab.echo", {"text": "x" * 1024 * 1024})


def test_what_is_larger_than_a_tool_takes_is_refused(system: dict[str, str]) -> None:
    """Before anything is sent; it says how much is allowed."""
    with Producer(load_settings(**system)) as producer, pytest.raises(ParamsError, match="takes"):
        producer.submit("text.stats", {"text": "x" * (64 * 1024 * 1024)})


def test_params_that_are_lost_fail_their_call_alone(broker: Broker, tmp_path: Path) -> None:
    """The others of the batch go on."""
    publish_shipped(broker.redis, "text")
    with (
        Producer.connect(broker.url, redis_url=broker.redis.url) as producer,
        broker.redis.client() as client,
    ):
        job = producer.map("text.stats", [{"text": LARGE}, {"text": "small"}])
        job.submitted()
        client.delete(Keys().values(job.id))
        with Worker(broker=broker, folder=tmp_path / "w"):
            lost, good = job.result(wait_s=60)

    assert good.success
    assert lost.error is not None
    assert lost.error.code is ErrorCode.EXECUTION_ERROR
    assert "lost" in lost.error.message
