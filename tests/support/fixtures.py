"""Fixtures of every tier: a Redis, a RabbitMQ, and both as the broker of one test after the other.

Servers live as long as the run; each test finds them empty. A test that kills its server makes its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import Broker
from tests.support.rabbit_server import RabbitServer, missing_rabbit
from tests.support.redis_server import RedisServer, missing_redis


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if (missing := missing_redis()) is not None:
        pytest.skip(missing)
    with RedisServer(tmp_path_factory.mktemp("redis"), shared=True) as server:
        yield server


@pytest.fixture
def redis_server(_shared_redis: RedisServer) -> RedisServer:
    """A Redis with nothing in it. It keeps nothing on disk: do not kill it, see `durable_redis`."""
    _shared_redis.flush()
    return _shared_redis


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own, to be killed at will: what it answered is on disk."""
    if (missing := missing_redis()) is not None:
        pytest.skip(missing)
    with RedisServer(tmp_path / "durable-redis", name="durable-redis", durability="always") as server:
        yield server


@pytest.fixture(scope="session")
def rabbit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """The RabbitMQ of this run. Use a vhost of your own: `rabbit_server.url(rabbit_server.new_vhost())`."""
    if (missing := missing_rabbit()) is not None:
        pytest.skip(missing)
    with RabbitServer(tmp_path_factory.mktemp("rabbitmq"), shared=True) as server:
        yield server


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest, redis_server: RedisServer) -> Broker:
    """Each supported broker in turn, and the Redis of the ledger with it."""
    if request.param == "redis":
        return Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    rabbit: RabbitServer = request.getfixturevalue("rabbit_server")
    return Broker(server=rabbit, url=rabbit.url(rabbit.new_vhost()), redis=redis_server)
