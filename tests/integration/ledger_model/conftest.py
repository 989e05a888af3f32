"""What tests by a clock of their own begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.integration.ledger_model.virtual_time import VirtualLedger
from tests.support.redis_server import RedisServer


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the test's Redis, which is empty."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def ledger(client: redis.Redis) -> VirtualLedger:
    """A ledger by a clock of its own."""
    return VirtualLedger(client)
