"""The doctor on real servers: what is well, what is not safe, and what does not answer."""

from __future__ import annotations

from pathlib import Path

from penstock.doctor import Finding, Level, examine
from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import load_settings
from penstock_plugins.bundle import read_bundle
from penstock_plugins.shipped import shipped_plugins
from tests.support.brokers import Broker
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


def test_what_a_killed_redis_would_lose_is_said(
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


def test_a_cache_that_others_may_write_is_a_problem(redis_server: RedisServer, tmp_path: Path) -> None:
    """Who writes it runs code in every worker."""
    (tmp_path / "artifacts").mkdir(mode=0o755)

    found = by_topic(list(examine(load_settings(redis_url=redis_server.url, cache_dir=tmp_path))))

    assert found["cache"][0].level is Level.PROBLEM
    assert "chmod 700" in found["cache"][0].advice
