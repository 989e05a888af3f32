"""The doctor on real servers: what is well, what is not safe, and what does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.doctor import Finding, Level, examine
from penstock_broker_config.hosts import HostRecord, announce_host
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Buffer,
    BufferedCall,
    CallEntry,
    DeclaredLimit,
    DispatchTerms,
    Ledger,
    LimitChange,
)
from penstock_broker_config.redis_artifacts import RedisArtifacts
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.removal import Removal
from penstock_broker_config.settings import load_settings
from penstock_plugins.bundle import read_bundle
from penstock_plugins.errors import ConfigurationError
from penstock_plugins.shipped import shipped_plugins
from penstock_plugins.tool import Tool
from penstock_workers.artifacts.folder import PrivateFolder
from tests.support.brokers import Broker
from tests.support.bundles import publish_composite
from tests.support.ledger_values import header
from tests.support.ports import LOOPBACK, free_port
from tests.support.redis_server import RedisServer


def by_topic(findings: list[Finding]) -> dict[str, list[Finding]]:
    """The findings of each check."""
    topics: dict[str, list[Finding]] = {}
    for finding in findings:
        topics.setdefault(finding.about, []).append(finding)
    return topics


def test_a_durable_system_has_no_problems(durable_redis: RedisServer, tmp_path: Path) -> None:
    """`appendfsync always`, nothing evicted, the broker answers."""
    with durable_redis.client() as client:
        RedisCatalog(client, Keys()).publish(read_bundle(shipped_plugins() / "text"), [])

    found = list(examine(load_settings(redis_url=durable_redis.url, cache_dir=tmp_path)))

    assert [f for f in found if f.level is Level.PROBLEM] == []
    assert by_topic(found)["durability"][0].level is Level.OK


def test_B4_what_a_killed_redis_would_lose_is_said(
    redis_server: RedisServer, durable_redis: RedisServer, tmp_path: Path
) -> None:
    """No file at all is a problem; a file that is synced each second is a warning."""
    with durable_redis.client() as client:
        client.config_set("appendfsync", "everysec")

    none = by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path))))
    second = by_topic(list(examine(load_settings(redis_url=durable_redis.url, cache_dir=tmp_path))))

    assert none["durability"][0].level is Level.PROBLEM
    assert second["durability"][0].level is Level.WARNING
    assert "everysec" in second["durability"][0].message


def test_a_redis_that_evicts_is_a_problem(redis_server: RedisServer, tmp_path: Path) -> None:
    """An evicted key is a lost call."""
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            found = by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path))))
        finally:
            client.config_set("maxmemory-policy", "noeviction")

    assert any(f.level is Level.PROBLEM and "noeviction" in f.advice for f in found["redis"])


def test_servers_that_do_not_answer_are_problems_and_no_tracebacks(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """A store that is away ends the examination; a broker that is away does not."""
    nowhere = f"{LOOPBACK}:{free_port()}"

    no_store = list(examine(load_settings(redis_url=f"redis://{nowhere}", cache_dir=tmp_path)))
    no_broker = by_topic(
        list(
            examine(
                load_settings(
                    broker_url=f"amqp://{nowhere}//", redis_url=redis_server.url, cache_dir=tmp_path
                )
            )
        )
    )

    assert [f.level for f in no_store] == [Level.PROBLEM]
    assert no_broker["broker"][0].level is Level.PROBLEM
    assert "keys" in no_broker


def test_both_brokers_are_reached(broker: Broker, tmp_path: Path) -> None:
    """Redis and RabbitMQ alike."""
    found = by_topic(list(examine(broker.settings(cache_dir=tmp_path))))

    assert found["broker"][0].level is Level.OK


def test_the_visibility_timeout_is_told_also_when_it_is_fine(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """With what it is compared with; advice only where calls may take longer."""
    fine, long = (
        by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path, **more))))[
            "broker"
        ][-1]
        for more in ({}, {"limits": {"timeout_s": 7200}})
    )

    assert (fine.level, fine.advice) == (Level.OK, "")
    assert "the visibility timeout" in fine.message
    assert long.level is Level.WARNING
    assert "A call may take 7200 s" in long.message


def test_a_cache_that_others_may_write_is_a_problem(redis_server: RedisServer, tmp_path: Path) -> None:
    """Who writes it runs code in every worker."""
    (tmp_path / "artifacts").mkdir(mode=0o755)

    found = by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path))))

    assert found["cache"][0].level is Level.PROBLEM
    assert "chmod 700" in found["cache"][0].advice


@pytest.mark.parametrize(
    ("cache", "why"),
    [
        ("file/cache", "cannot be made in {folder}/file (Not a directory)"),
        ("/proc/nowhere", "cannot be made in /proc (No such file or directory)"),
        ("dangling", "cannot be made in {folder}/dangling (No such file or directory)"),
        ("linked", "artifacts is no folder"),
    ],
)
def test_a_cache_that_cannot_be_made_is_a_problem(
    redis_server: RedisServer, tmp_path: Path, cache: str, why: str
) -> None:
    """A worker that starts here says so, and ends: the doctor says it before. Nothing is left behind."""
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing" / "there")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "artifacts").symlink_to(tmp_path)

    of_none, of_new = (
        by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path / folder))))
        for folder in (cache, "new/cache")
    )

    assert of_none["cache"][0].level is Level.PROBLEM
    assert why.format(folder=tmp_path) in of_none["cache"][0].message
    assert "PENSTOCK_CACHE_DIR" in of_none["cache"][0].advice
    assert of_new["cache"][0].level is Level.OK
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file", "linked"]
    with (
        pytest.raises(ConfigurationError, match="is no folder that can be used"),
        PrivateFolder(tmp_path / cache / "artifacts").opened(),
    ):
        pass


def test_a_composite_is_never_said_to_be_uncompiled(redis_server: RedisServer, tmp_path: Path) -> None:
    """It has no code; a component beside it that no worker has compiled here is named."""
    with redis_server.client() as client:
        catalog = RedisCatalog(client, Keys())
        catalog.publish(read_bundle(shipped_plugins() / "text"), [])
        publish_composite(catalog, "docs")

    found = by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path))))["plugins"]
    [cold] = [finding for finding in found if "Not compiled" in finding.message]

    assert cold.level is Level.WARNING
    assert "text@" in cold.message
    assert "docs" not in cold.message


def test_a_composite_whose_tools_are_gone_is_named(redis_server: RedisServer, tmp_path: Path) -> None:
    """Those who call it are refused, and who removed the tools was not told."""
    settings = load_settings(redis_url=redis_server.url, cache_dir=tmp_path)
    with redis_server.client() as client:
        text = read_bundle(shipped_plugins() / "text")
        RedisCatalog(client, Keys()).publish(text, [Tool(name="stats", plugin="text", version="1.1.0")])
        publish_composite(RedisCatalog(client, Keys()), "docs")
        whole = by_topic(list(examine(settings)))["plugins"]
        Removal(client, Keys()).remove("text", text.manifest.version)

    found = by_topic(list(examine(settings)))["plugins"]

    assert [finding for finding in whole if "cannot run" in finding.message] == []
    [broken] = [finding for finding in found if "cannot run" in finding.message]
    assert broken.level is Level.WARNING
    assert (
        "docs@1.0.0.both cannot run: steps[0].tool (text.stats): Unknown tool: text.stats" in broken.message
    )
    assert "penstock plugin remove docs@1.0.0" in broken.advice


def test_B2_paused_limits_are_named_with_their_end(redis_server: RedisServer, tmp_path: Path) -> None:
    """And those that admit nobody; each with what ends it."""
    settings = load_settings(redis_url=redis_server.url, cache_dir=tmp_path)
    with redis_server.client() as client:
        ledger = Ledger(client, Keys())
        none = by_topic(list(examine(settings)))["limits"]
        ledger.change_limit("api", LimitChange(paused_until_ms=4_102_444_800_000))
        ledger.change_limit("site", LimitChange(concurrency=0))
        ledger.change_limit("fine", LimitChange(concurrency=3))
        waits = DeclaredLimit(key="api", concurrency=1)
        call = [BufferedCall(CallEntry(0, "{}"))]
        ledger.enqueue(header("j"), call, [Buffer(limits=(waits,))], base=0, total=1)
        ledger.dispatch(DispatchTerms())

    found = by_topic(list(examine(settings)))["limits"]

    assert [(f.level, f.message) for f in none] == [(Level.OK, "No limit is set or in use")]
    assert [f.level for f in found] == [Level.WARNING, Level.WARNING]
    assert "api is paused until 2" in found[0].message
    assert "1 keys or batches wait" in found[0].message
    assert "penstock limits set api --resume" in found[0].advice
    assert "site admits nobody" in found[1].message


def test_B2_a_hundred_paused_limits_are_counted(redis_server: RedisServer, tmp_path: Path) -> None:
    """Ten are named."""
    with redis_server.client() as client:
        ledger = Ledger(client, Keys())
        for number in range(100):
            ledger.change_limit(f"key{number}", LimitChange(concurrency=0))

    found = by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path))))["limits"]

    assert len(found) == 11
    assert "90 more" in found[-1].message


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, Level.OK),
        ({"max_pending_calls": 6}, Level.WARNING),
        ({"max_pending_calls": 5}, Level.PROBLEM),
        ({"max_pending_bytes": 1 << 20}, Level.WARNING),
    ],
)
def test_B3_how_near_pending_work_is_to_its_bounds(
    redis_server: RedisServer, tmp_path: Path, changes: dict[str, int], level: Level
) -> None:
    """By calls and by bytes, whichever is nearer."""
    with redis_server.client() as client:
        entries = [CallEntry(k, "x" * 180_000) for k in range(5)]
        Ledger(client, Keys()).submit(header("j"), entries, base=0, total=5)

    settings = load_settings(redis_url=redis_server.url, cache_dir=tmp_path, **changes)
    (found,) = by_topic(list(examine(settings)))["pending"]

    assert found.level is level
    assert found.message.startswith("5 of ")
    assert "0.9 of " in found.message
    assert ("OVERLOADED" in found.message) == (level is Level.PROBLEM)
    assert bool(found.advice) == (level is not Level.OK)


def test_where_large_values_go_is_tried(redis_server: RedisServer, tmp_path: Path) -> None:
    """Written, read and removed; nothing stays behind."""
    folder = tmp_path / "values"
    (tmp_path / "a-file").touch()

    def values(url: str | None) -> Finding:
        settings = load_settings(redis_url=redis_server.url, cache_dir=tmp_path, values_url=url)
        (found,) = by_topic(list(examine(settings)))["values"]
        return found

    in_redis, good = values(None), values(f"file://{folder}")
    bad, unknown = values(f"file://{tmp_path}/a-file/below"), values("nonsense://there")

    assert (in_redis.level, good.level) == (Level.OK, Level.OK)
    assert list(folder.iterdir()) == []
    assert (bad.level, unknown.level) == (Level.PROBLEM, Level.PROBLEM)
    assert "PENSTOCK_VALUES_URL" in bad.advice
    assert "nonsense" in unknown.message


def test_a_system_without_a_worker_says_what_its_calls_wait_for(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Until the first one has begun."""
    (found,) = by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path))))["fleet"]

    assert (found.level, found.message.partition(":")[0]) == (Level.WARNING, "No host has run workers lately")
    assert "`penstock worker`" in found.advice


def test_several_hosts_without_a_fleet_key_are_told_of_it(redis_server: RedisServer, tmp_path: Path) -> None:
    """Each compiles for itself; or this one is left out of what the others share."""
    fleet_key = "f" * 32

    def fleet(**changes: str) -> Finding:
        settings = load_settings(redis_url=redis_server.url, cache_dir=tmp_path, **changes)
        (found,) = by_topic(list(examine(settings)))["fleet"]
        return found

    with redis_server.client() as client:
        announce_host(client, Keys(), "h1", HostRecord(engines={}))
        alone = fleet()
        announce_host(client, Keys(), "h2", HostRecord(engines={}))
        each, with_key = fleet(), fleet(fleet_key=fleet_key)
        assert RedisArtifacts(client, Keys()).offer("a" * 64, b"native code")
        left_out, shared = fleet(), fleet(fleet_key=fleet_key)

    assert [f.level for f in (alone, with_key, shared)] == [Level.OK] * 3
    assert [f.level for f in (each, left_out)] == [Level.WARNING] * 2
    assert "2 hosts" in each.message
    assert "openssl rand" in each.advice
    assert "takes none" in left_out.message
