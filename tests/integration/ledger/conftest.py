"""A ledger on the test's own Redis, and what must be true of that when a test ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Ledger


@pytest.fixture
def client(redis_server: Any) -> Iterator[redis.Redis]:
    """A client of the test's Redis, which is empty. Every key that a test leaves has the prefix."""
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    yield client
    names: Any = client.keys("*")
    client.close()
    assert [name for name in names if not name.startswith(b"penstock:")] == []


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    """A ledger on the test's Redis."""
    return Ledger(client, Keys())
