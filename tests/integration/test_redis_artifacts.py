"""Native code in a real Redis: what it may cost, and for how long it stays."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_artifacts import ARTIFACT_TTL_S, RedisArtifacts
from penstock_broker_config.redis_catalog import CHUNK_BYTES
from penstock_plugins.errors import UnreachableError
from penstock_plugins.limits import MIB
from tests.support.redis_server import RedisServer

KEYS = Keys("test:")


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Of an empty Redis."""
    with redis_server.client() as client:
        yield client


@pytest.mark.parametrize("size_bytes", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_it_travels_in_chunks_of_a_bounded_size(client: redis.Redis, size_bytes: int) -> None:
    """At and around the edges of chunks."""
    artifacts = RedisArtifacts(client, KEYS)
    content = os.urandom(size_bytes)

    assert artifacts.offer("one", content)

    assert artifacts.fetch("one") == content
    assert max(len(chunk) for chunk in client.hvals(KEYS.artifact("one"))) <= CHUNK_BYTES


def test_what_is_offered_is_forgotten_when_nobody_uses_it(client: redis.Redis) -> None:
    """Use renews it; nothing of the upload remains."""
    artifacts = RedisArtifacts(client, KEYS)
    artifacts.offer("one", b"code")
    client.expire(KEYS.artifact("one"), 10)

    assert artifacts.fetch("one") == b"code"
    renewed_s = client.ttl(KEYS.artifact("one"))
    client.expire(KEYS.artifact("one"), 10)
    assert artifacts.renew("one")

    assert min(renewed_s, client.ttl(KEYS.artifact("one"))) > ARTIFACT_TTL_S - 60
    assert set(client.scan_iter()) == {KEYS.artifact("one").encode(), KEYS.artifacts.encode()}


def test_what_is_not_there_is_nothing(client: redis.Redis) -> None:
    """Neither to fetch nor to renew."""
    artifacts = RedisArtifacts(client, KEYS)

    assert artifacts.fetch("one") is None
    assert not artifacts.renew("one")


def test_the_first_offer_stays(client: redis.Redis) -> None:
    """Who reads it does not get chunks of two."""
    artifacts = RedisArtifacts(client, KEYS)
    artifacts.offer("one", b"first")

    artifacts.offer("one", b"second")

    assert artifacts.fetch("one") == b"first"


@pytest.mark.parametrize("size_bytes", [0, 1001])
def test_what_is_empty_or_too_large_is_not_taken(client: redis.Redis, size_bytes: int) -> None:
    """Nothing of it is sent."""
    assert not RedisArtifacts(client, KEYS, max_bytes=1000).offer("one", bytes(size_bytes))

    assert client.dbsize() == 0


def test_what_was_not_used_for_longest_makes_room(client: redis.Redis) -> None:
    """The ledger lives in the same memory."""
    artifacts = RedisArtifacts(client, KEYS, max_total_bytes=250)
    for place, name in enumerate(("used", "old")):
        artifacts.offer(name, bytes(100))
        client.zadd(KEYS.artifacts, {name: place})
    artifacts.renew("used")

    assert artifacts.offer("new", bytes(100))

    assert [artifacts.renew(name) for name in ("used", "old", "new")] == [True, False, True]
    assert set(client.zrange(KEYS.artifacts, 0, -1)) == {b"used", b"new"}


def test_a_redis_with_little_memory_keeps_it_for_the_ledger(client: redis.Redis) -> None:
    """An eighth is for native code."""
    client.config_set("maxmemory", 400 * MIB)
    try:
        taken = [RedisArtifacts(client, KEYS).offer("one", bytes(size)) for size in (51 * MIB, 1 * MIB)]
    finally:
        client.config_set("maxmemory", 0)

    assert taken == [False, True]


def test_a_transfer_that_takes_too_long_is_broken_off(client: redis.Redis) -> None:
    """In both directions, and nothing stays behind."""
    RedisArtifacts(client, KEYS).offer("one", bytes(3 * CHUNK_BYTES))
    ticks = iter(range(1000))
    slow = RedisArtifacts(client, KEYS, transfer_s=1, clock=lambda: next(ticks))

    with pytest.raises(UnreachableError, match="longer than 1 s"):
        slow.fetch("one")
    with pytest.raises(UnreachableError, match="longer than 1 s"):
        slow.offer("two", bytes(3 * CHUNK_BYTES))

    assert set(client.scan_iter()) == {KEYS.artifact("one").encode(), KEYS.artifacts.encode()}


def test_one_process_at_a_time_makes_it(client: redis.Redis) -> None:
    """It says so again and again; only who said so can take it back."""
    first, second = RedisArtifacts(client, KEYS), RedisArtifacts(client, KEYS)

    said = [first.claim("one"), second.claim("one"), first.claim("one")]
    second.release("one")
    said.append(second.claim("one"))
    first.release("one")
    said.append(second.claim("one"))

    assert said == [True, False, True, False, True]


def test_a_redis_that_is_gone_is_said_in_one_way(durable_redis: RedisServer) -> None:
    """Whatever is asked."""
    with durable_redis.client() as client:
        artifacts = RedisArtifacts(client, KEYS)
        durable_redis.kill()
        for ask in (artifacts.fetch, artifacts.renew, artifacts.drop, artifacts.claim, artifacts.release):
            with pytest.raises(UnreachableError):
                ask("one")
        with pytest.raises(UnreachableError):
            artifacts.offer("one", b"code")
