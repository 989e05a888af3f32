"""Plugins that are removed, and what is collected of them, in a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from penstock_broker_config.collector import Collector
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import ClaimTerms, JobState, Ledger
from penstock_broker_config.redis_artifacts import RedisArtifacts
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.removal import Removal
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import CatalogError, ToolNotFoundError
from penstock_scheduler import Producer
from penstock_scheduler.collecting import Collecting
from tests.support.brokers import Broker
from tests.support.bundles import make_bundle, make_tool
from tests.support.command_line import CommandLine
from tests.support.ledger_worker import publish
from tests.support.penstock_processes import Worker
from tests.support.publishing import publish_shipped
from tests.support.redis_server import RedisServer

KEYS = Keys()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Of an empty Redis."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def producer(redis_server: RedisServer) -> Iterator[Producer]:
    """Of the same Redis."""
    with Producer.connect(redis_server.url) as producer:
        yield producer


@pytest.fixture
def catalog(client: redis.Redis) -> RedisCatalog:
    """Of the same Redis."""
    return RedisCatalog(client, KEYS)


@pytest.fixture
def removal(client: redis.Redis) -> Removal:
    """From that catalog."""
    return Removal(client, KEYS)


@pytest.fixture
def collector(client: redis.Redis) -> Collector:
    """Without the hour."""
    return Collector(client, KEYS, grace_s=0)


def catalog_keys(client: redis.Redis) -> set[bytes | str]:
    """Every key of the catalog but its counter."""
    return set(client.keys("penstock:catalog*")) - {KEYS.catalog_version.encode()}


def test_a_removed_plugin_is_not_found_and_then_collected(
    client: redis.Redis, catalog: RedisCatalog, removal: Removal, collector: Collector
) -> None:
    """Nothing of it is left, and its version may be published anew."""
    record = catalog.publish(make_bundle(), [make_tool()])
    client.hset(KEYS.costs, f"{record.digest}:text.stats", 5)
    version = catalog.version()

    removal.remove("text", "1.0.0")
    listed, changed = catalog.records(), catalog.version() > version
    collected = collector.collect()

    assert (listed, changed) == ([], True)
    assert (collected.plugins, collected.costs) == (("text@1.0.0",), 1)
    assert catalog_keys(client) == set()
    assert client.exists(KEYS.costs) == 0
    with pytest.raises(CatalogError, match="no plugin with digest"):
        catalog.fetch(record.digest)
    assert catalog.publish(make_bundle(module=b"other bytes"), [make_tool()]).digest != record.digest


def test_an_unknown_release_is_an_error(catalog: RedisCatalog, removal: Removal) -> None:
    """Of an unknown plugin as well; nothing changes."""
    catalog.publish(make_bundle(), [make_tool()])

    for name, version in (("text", "2.0.0"), ("nobody", "1.0.0")):
        with pytest.raises(CatalogError, match="There is no"):
            removal.remove(name, version)

    assert len(catalog.records()) == 1


def test_a_removal_is_refused_while_open_jobs_refer_to_it(
    client: redis.Redis, producer: Producer, removal: Removal
) -> None:
    """A single call, and a map that is still fed; when they have ended it is not."""
    record = publish(client, "double", "sink")
    single = producer.submit("double", {"n": 1})
    ledger = Ledger(client, KEYS)
    ledger.open_job("m", tool="demo.sink", digest=record.digest, tenant="t", queue="penstock.default")

    with pytest.raises(CatalogError, match="2 open jobs refer to it"):
        removal.remove("demo", "1.0.0")

    single.cancel()
    ledger.seal("m")
    assert ledger.job("m").state is JobState.SUCCEEDED
    assert removal.remove("demo", "1.0.0").jobs == {}


def test_calls_that_were_accepted_meanwhile_still_run(
    client: redis.Redis, producer: Producer, removal: Removal, collector: Collector, catalog: RedisCatalog
) -> None:
    """A producer that has not noticed submits with the digest it knew: the bundle stays for that."""
    record = publish(client, "double")
    removal.remove("demo", "1.0.0")
    Ledger(client, KEYS).open_job(
        "late", tool="demo.double", digest=record.digest, tenant="t", queue="penstock.default"
    )

    kept = collector.collect()
    bundle = catalog.fetch(record.digest)
    Ledger(client, KEYS).cancel("late")
    gone = collector.collect()

    assert (kept.plugins, kept.kept) == ((), ("demo@1.0.0",))
    assert bundle.digest == record.digest
    assert gone.plugins == ("demo@1.0.0",)
    with pytest.raises(ToolNotFoundError):
        producer.submit("double", {"n": 1})


def test_dead_letters_keep_their_bundle(
    client: redis.Redis, producer: Producer, removal: Removal, collector: Collector
) -> None:
    """They can be exported; when they are dropped it goes."""
    record = publish(client, "double")
    job = producer.submit("double", {"n": 1})
    for holder, before in (("a", ""), ("b", "a")):
        Ledger(client, KEYS).claim(
            f"{job.id}.0", ClaimTerms(holder=holder, lease_s=30, max_attempts=1, takeover=before)
        )

    references = removal.remove("demo", "1.0.0")
    kept = collector.collect()
    producer.drop_dead_letters([f"{job.id}.0"])
    gone = collector.collect()

    assert (references.jobs, references.letters[record.digest]) == ({}, 1)
    assert (kept.kept, gone.plugins) == (("demo@1.0.0",), ("demo@1.0.0",))


def test_nothing_goes_within_the_hour(client: redis.Redis, catalog: RedisCatalog) -> None:
    """In which the last producer notices."""
    catalog.publish(make_bundle(), [make_tool()])
    Removal(client, KEYS).remove("text", "1.0.0")

    assert Collector(client, KEYS).collect().kept == ("text@1.0.0",)


def test_a_removed_plugin_can_be_published_again(
    client: redis.Redis, catalog: RedisCatalog, removal: Removal, collector: Collector
) -> None:
    """Before it is collected: it is there as if it had never been gone, and stays."""
    first = catalog.publish(make_bundle(), [make_tool()])
    removal.remove("text", "1.0.0")

    again = catalog.publish(make_bundle(), [make_tool()])
    collected = collector.collect()

    assert again == first
    assert (collected.plugins, collected.kept) == ((), ())
    assert catalog.records() == [first]
    assert catalog.fetch(first.digest) == make_bundle()


def test_collecting_and_publishing_at_the_same_time_never_breaks_a_plugin(redis_server: RedisServer) -> None:
    """Two collect while one publishes: what it published is whole until somebody removes it."""
    stop = threading.Event()
    errors: list[Exception] = []

    def collect_again() -> None:
        with redis_server.client() as client:
            collector = Collector(client, KEYS, grace_s=0)
            while not stop.is_set():
                try:
                    collector.collect(scan=True)
                except Exception as error:  # noqa: BLE001 - shown below
                    errors.append(error)
                    return

    threads = [threading.Thread(target=collect_again) for _ in range(2)]
    for thread in threads:
        thread.start()
    with redis_server.client() as client:
        catalog, removal = RedisCatalog(client, KEYS), Removal(client, KEYS)
        try:
            for _ in range(60):
                record = catalog.publish(make_bundle(module=b"x" * 600_000), [make_tool()])
                assert catalog.fetch(record.digest).digest == record.digest
                assert catalog.records() == [record]
                removal.remove("text", "1.0.0")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        Collector(client, KEYS, grace_s=0).collect(scan=True)
        assert catalog_keys(client) == set()

    assert errors == []


def test_what_belongs_to_no_plugin_is_collected(
    client: redis.Redis, catalog: RedisCatalog, collector: Collector
) -> None:
    """Files of no record, native code and costs of plugins that are gone; uploads on their way stay."""
    kept = catalog.publish(make_bundle(), [make_tool()])
    stray, sent = "a" * 64, "b" * 64
    client.hset(KEYS.catalog_file(stray, "plugin.wasm"), "0", b"x")
    client.hset(KEYS.catalog_upload(sent, "plugin.wasm", "t"), "0", b"x")
    client.expire(KEYS.catalog_upload(sent, "plugin.wasm", "t"), 3600)
    artifacts = RedisArtifacts(client, KEYS)
    artifacts.offer(f"{stray[:16]}-{'0' * 32}", b"code")
    artifacts.offer(f"{kept.digest[:16]}-{'0' * 32}", b"code")
    client.hset(KEYS.costs, mapping={f"{stray}:a.b": 1, f"{kept.digest}:text.stats": 2})

    planned = collector.collect(dry_run=True, scan=True)
    before = client.dbsize()
    done = collector.collect(scan=True)

    assert planned == done
    assert (done.stray_files, done.artifacts, done.costs) == (1, 1, 1)
    assert client.dbsize() == before - 2
    assert catalog.fetch(kept.digest).digest == kept.digest
    assert artifacts.fetch(f"{kept.digest[:16]}-{'0' * 32}") == b"code"
    assert client.exists(KEYS.catalog_upload(sent, "plugin.wasm", "t")) == 1


def test_a_damaged_record_can_be_removed_with_its_files(
    client: redis.Redis, catalog: RedisCatalog, removal: Removal, collector: Collector
) -> None:
    """Its files are found by their keys."""
    record = catalog.publish(make_bundle(), [make_tool()])
    client.hset(KEYS.catalog_records, record.digest, b"\xff")

    removal.remove("text", "1.0.0")
    collector.collect()

    assert catalog_keys(client) == set()


def test_of_many_schedulers_one_collects(client: redis.Redis, catalog: RedisCatalog) -> None:
    """And another the next time."""
    first, second = Collecting(client, KEYS), Collecting(client, KEYS)

    turns = [first.step(), second.step(), first.step()]
    client.delete(KEYS.catalog_collected)

    assert turns == [True, False, False]
    assert second.step()
    assert 0 < client.ttl(KEYS.catalog_collected) <= 600


def test_by_force_open_calls_end_and_say_why(
    redis_server: RedisServer, client: redis.Redis, tmp_path: Path
) -> None:
    """From the command line, with a real worker."""
    publish_shipped(redis_server, "text")
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    cli = CommandLine(tmp_path, broker.environment)
    with Producer.connect(broker.url) as producer:
        job = producer.submit("text.slug", {"text": "x"})
        version = cli("plugin", "list", "--json").json[0]["version"]
        refused = cli("plugin", "remove", f"text@{version}")
        wrong = cli("plugin", "remove", "text")
        forced = cli("plugin", "remove", f"text@{version}", "--force", "--json")
        with Worker(
            broker=broker, folder=tmp_path / "w", environment={"PENSTOCK_CACHE_DIR": str(tmp_path / "c")}
        ):
            result = job.result(wait_s=60)
    listed = cli("plugin", "gc", "--json")

    assert (refused.code, "1 open job refers to it" in refused.err, "--force" in refused.err) == (
        2,
        True,
        True,
    )
    assert wrong.code == 2
    assert forced.json["open_jobs"] == 1
    assert catalog_keys(client) == set()
    assert result.error is not None
    assert result.error.code is ErrorCode.TOOL_NOT_READY
    assert (listed.code, listed.json["plugins"]) == (0, [])
