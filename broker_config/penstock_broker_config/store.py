"""Connections to the Redis that holds the ledger, and what must be true of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry

from penstock_broker_config.location import located
from penstock_broker_config.sentinel import is_sentinel, sentinel_address
from penstock_broker_config.settings import Settings
from penstock_broker_config.urls import redacted, scheme_of
from penstock_plugins.errors import UnreachableError, UnsafeStartError

#: Seconds within which Redis must answer a command that does not wait.
SOCKET_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 3.0
#: Commands are sent again over about this many tries; every ledger script may be.
RETRIES = 4
#: Connections of one process: each thread that waits for results has one.
CONNECTIONS = 1000
#: Connections of one event loop; commands beyond it wait for one another.
ASYNC_CONNECTIONS = 32


@cache
def _driver() -> DriverInfo:
    """What clients call themselves. By itself each new connection would read redis-py's metadata for it."""
    return DriverInfo()


def _options(url: str, *, timeout_s: float = SOCKET_TIMEOUT_S) -> dict[str, Any]:
    # A Unix socket knows neither keep-alive nor a slow connect.
    network = {"socket_connect_timeout": min(timeout_s, CONNECT_TIMEOUT_S), "socket_keepalive": True}
    return {
        **({} if scheme_of(url) == "unix" else network),
        "socket_timeout": timeout_s,
        "health_check_interval": 15,
        "client_name": "penstock",
        "driver_info": _driver(),
    }


def _url(settings: Settings) -> str:
    url = located(settings).redis_url
    if url is None:
        raise UnreachableError("No Redis is configured")
    return url


def _client(url: str, **options: Any) -> redis.Redis:
    if is_sentinel(url):
        return sentinel_address(url).client(**options)
    return redis.Redis.from_url(url, **options)


def open_client(url: str) -> redis.Redis:
    """A client of some Redis, with the habits of the store's; connects when it is used."""
    return _client(url, **_options(url))


def connect_store(settings: Settings) -> redis.Redis:
    """A client of the ledger's Redis; connects when it is used.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """
    retry = Retry(ExponentialWithJitterBackoff(cap=1.0, base=0.05), RETRIES)
    url = _url(settings)
    return _client(url, retry=retry, max_connections=CONNECTIONS, **_options(url))


def connect_impatiently(settings: Settings, *, timeout_s: float) -> redis.Redis:
    """A client for what is good to have: it waits this long for an answer, and does not ask again.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """
    url = _url(settings)
    return _client(url, retry=Retry(NoBackoff(), 0), **_options(url, timeout_s=timeout_s))


def connect_async_store(settings: Settings) -> redis.asyncio.Redis:
    """The same for asyncio. Thousands of tasks may wait at once: they share a few connections."""
    retry = AsyncRetry(ExponentialWithJitterBackoff(cap=1.0, base=0.05), RETRIES)
    url = _url(settings)
    if is_sentinel(url):
        address = sentinel_address(url)
        return address.async_client(retry=retry, max_connections=ASYNC_CONNECTIONS, **_options(url))
    pool: redis.asyncio.BlockingConnectionPool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=ASYNC_CONNECTIONS, timeout=None, retry=retry, **_options(url)
    )
    return redis.asyncio.Redis.from_pool(pool)


def check_store(client: redis.Redis, settings: Settings) -> dict[str, str]:
    """What Redis says of itself, if it may be trusted with the ledger.

    Returns:
        `version`, `appendonly` ("0"/"1") and `maxmemory_policy`.

    Raises:
        UnreachableError: it does not answer.
        UnsafeStartError: it evicts keys when memory is short.
    """
    url = redacted(located(settings).redis_url or "")
    try:
        about = client.info()
    except redis.RedisError as error:
        raise UnreachableError(f"Redis at {url} does not answer: {error}") from error
    policy = str(about.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        raise UnsafeStartError(
            f"Redis at {url} evicts keys (maxmemory-policy {policy}), which loses calls: set it to noeviction"
        )
    return {
        "version": str(about.get("redis_version", "")),
        "appendonly": str(about.get("aof_enabled", "0")),
        "maxmemory_policy": policy,
    }
