"""A broker of doorbells with the Redis of the ledger, as settings and as a worker's environment say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock_broker_config.settings import Settings, load_settings
from tests.support.rabbit_server import RabbitServer
from tests.support.redis_server import RedisServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where a test's doorbells go and where its ledger is; nothing is in either when the test starts."""

    #: Who carries the doorbells.
    server: RedisServer | RabbitServer
    url: str
    #: Who keeps the ledger: the same server, when that is a Redis.
    redis: RedisServer

    @property
    def name(self) -> str:
        """`redis` or `rabbitmq`."""
        return "redis" if self.server is self.redis else "rabbitmq"

    @property
    def environment(self) -> dict[str, str]:
        """What a Penstock process must find in its environment."""
        return {"PENSTOCK_BROKER_URL": self.url, "PENSTOCK_REDIS_URL": self.redis.url}

    def settings(self, **arguments: Any) -> Settings:
        """The settings of a process that uses this broker."""
        return load_settings(broker_url=self.url, redis_url=self.redis.url, **arguments)
