"""Redis behind Sentinel: how its URL reads, and clients of whichever server is the master.

    sentinel://USER:PASSWORD@HOST:26379,HOST:26379/SERVICE/DB
    sentinels://…?ssl_ca_certs=ca.pem                            TLS, to the sentinels and to the master

USER and PASSWORD are the master's; the sentinels' own are `sentinel_username` and `sentinel_password` in the
query. Everything else in the query is redis-py's, as in a `rediss://` URL.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from penstock_plugins.errors import ConfigurationError

PLAIN, SECURE = "sentinel", "sentinels"
SENTINEL_SCHEMES = frozenset({PLAIN, SECURE})
DEFAULT_PORT = 26379
#: Seconds for one sentinel's answer; then the next is asked.
ANSWER_S = 1.0
#: A sentinel that does not answer is not asked again: there are others. redis-py would ask it for seconds.
_ONCE = Retry(NoBackoff(), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelAddress:
    """What a Sentinel URL says."""

    #: (host, port) of each sentinel.
    hosts: tuple[tuple[str, int], ...]
    #: What the sentinels call the master and its replicas.
    service: str
    db: int
    #: Options of redis-py for connections to the master, credentials and `ssl_…` among them.
    options: dict[str, Any] = field(repr=False)
    #: The same for connections to the sentinels.
    sentinel_options: dict[str, Any] = field(repr=False)
    tls: bool

    @property
    def ssl(self) -> dict[str, Any]:
        """The options of TLS alone."""
        return {name: value for name, value in self.options.items() if name.startswith("ssl_")}

    def client(self, **options: Any) -> redis.Redis:
        """A client of the master; connects when it is used, and asks anew who it is when it has gone."""
        asking = {**self.sentinel_options, "retry": _ONCE}
        manager = redis.sentinel.Sentinel(self.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        client: redis.Redis = manager.master_for(self.service, **self._to_master(options))  # type: ignore[no-untyped-call]
        return client

    def async_client(self, **options: Any) -> redis.asyncio.Redis:
        """The same for asyncio; commands wait for one another when all connections are in use."""
        asking = {**self.sentinel_options, "retry": AsyncRetry(NoBackoff(), 0)}
        manager = redis.asyncio.sentinel.Sentinel(self.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
        client: redis.asyncio.Redis = manager.master_for(
            self.service, connection_pool_class=_WaitingPool, timeout=None, **self._to_master(options)
        )
        return client

    def _to_master(self, options: dict[str, Any]) -> dict[str, Any]:
        return {**self.options, **options, "db": self.db, "ssl": self.tls}


class _WaitingPool(redis.asyncio.sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool):
    """Connections to the master, of which there are so many and not more."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """End them and those to the sentinels, which stay when only idle ones end: the master has changed."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def is_sentinel(url: str) -> bool:
    """Whether the URL names sentinels."""
    return urlsplit(url).scheme.lower() in SENTINEL_SCHEMES


def sentinel_address(url: str) -> SentinelAddress:
    """What the URL says.

    Raises:
        ConfigurationError: it says too little, or something else.
    """
    parts = urlsplit(url)
    tls = parts.scheme.lower() == SECURE
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/")
    if not hosts or not service or not (db or "0").isdigit():
        raise ConfigurationError(
            "A Sentinel URL is sentinel://USER:PASSWORD@HOST:26379,HOST:26379/SERVICE/DB: "
            "the sentinels, what they call the master, and the number of the database"
        )
    query = dict(parse_qsl(parts.query))
    own = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    # redis-py reads the rest: its spelling and its types are the ones that count.
    scheme = "rediss" if tls else "redis"
    try:
        options = parse_url(f"{scheme}://{credentials}@_/{db or 0}?{urlencode(query)}")  # type: ignore[no-untyped-call]
        addresses = tuple(_host(host) for host in hosts.split(","))
    except ValueError as error:
        raise ConfigurationError(f"The Sentinel URL cannot be read: {error}") from error
    for name in ("host", "port", "db", "connection_class"):
        options.pop(name, None)
    secure = {name: value for name, value in options.items() if name.startswith("ssl_")}
    return SentinelAddress(
        hosts=addresses,
        service=unquote(service),
        db=int(db or 0),
        options=options,
        sentinel_options={
            **{name: value for name, value in own.items() if value},
            **({"ssl": True, **secure} if tls else {}),
            "socket_timeout": ANSWER_S,
            "socket_connect_timeout": ANSWER_S,
        },
        tls=tls,
    )


def for_kombu(url: str) -> str:
    """The same sentinels in kombu's spelling: a URL for each; the service is an option of the transport."""
    parts, address = urlsplit(url), sentinel_address(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    hosts = (f"[{host}]" if ":" in host else host for host, _ in address.hosts)
    ports = (port for _, port in address.hosts)
    return ";".join(
        f"sentinel://{credentials}{at}{host}:{port}/{address.db}"
        for host, port in zip(hosts, ports, strict=True)
    )


def kombu_options(url: str) -> dict[str, Any]:
    """The options of kombu's transport that say what its URL cannot."""
    address = sentinel_address(url)
    return {"master_name": address.service, "sentinel_kwargs": {**address.sentinel_options, "retry": _ONCE}}


def _host(spelled: str) -> tuple[str, int]:
    parts = urlsplit(f"//{spelled}")
    if not parts.hostname:
        raise ValueError(f"{spelled!r} is no host")
    return parts.hostname, parts.port or DEFAULT_PORT
