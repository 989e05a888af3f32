"""The Redis of the tests: it comes back where it was, with what its durability promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.support.redis_server import RedisServer


def test_a_durable_redis_keeps_what_it_answered_when_it_is_killed(durable_redis: RedisServer) -> None:
    """With `appendfsync always`, every answered write is there after SIGKILL, on the same port."""
    url = durable_redis.url
    with durable_redis.client() as client:
        for number in range(200):
            client.rpush("list", number)

    durable_redis.kill()
    durable_redis.start()

    with durable_redis.client() as client:
        assert client.lrange("list", 0, -1) == [str(number).encode() for number in range(200)]
        assert client.info("persistence")["aof_enabled"] == 1
    assert durable_redis.url == url


def test_a_client_notices_the_kill_and_reaches_the_restarted_server(durable_redis: RedisServer) -> None:
    """While it is down nobody else answers on its port."""
    with durable_redis.client(retry=None) as client:
        client.set("key", "value")

        durable_redis.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("key")
        durable_redis.restart()

        assert client.get("key") == b"value"


def test_a_redis_without_durability_forgets_with_a_kill(tmp_path: Path) -> None:
    """Nothing is written to disk, which is what makes it quick."""
    with RedisServer(tmp_path) as server, server.client() as client:
        client.set("key", "value")

        server.kill()
        server.start()

        assert client.get("key") is None
        assert client.info("memory")["maxmemory_policy"] == "noeviction"


def test_each_test_finds_the_shared_redis_empty(redis_server: RedisServer) -> None:
    """First of two: leaves a key behind."""
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_what_the_test_before_wrote_is_gone(redis_server: RedisServer) -> None:
    """Second of two: the key is gone."""
    with redis_server.client() as client:
        assert client.dbsize() == 0
