"""Redis URLs in redis-py's spelling, and what kombu calls the same thing."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from penstock_broker_config import sentinel
from penstock_broker_config.tls import broker_ssl, without_tls_options
from penstock_plugins.errors import ConfigurationError

#: Schemes that redis-py understands, and those of `sentinel`.
REDIS_SCHEMES = frozenset({"redis", "rediss", "unix"}) | sentinel.SENTINEL_SCHEMES
#: Schemes of RabbitMQ.
AMQP_SCHEMES = frozenset({"amqp", "amqps", "pyamqp"})

_PASSWORDS = re.compile(r"(password=)[^&]*")


def scheme_of(url: str) -> str:
    """The scheme, in lower case."""
    return urlsplit(url).scheme.lower()


def is_redis(url: str) -> bool:
    """Whether the URL names a Redis."""
    return scheme_of(url) in REDIS_SCHEMES


def check_broker_url(url: str) -> str:
    """The URL, if it names a broker that we support.

    Raises:
        ConfigurationError: it does not; says what would do.
    """
    scheme = scheme_of(url)
    if scheme in {"redis+cluster", "rediss+cluster"}:
        raise ConfigurationError("Redis Cluster is not supported: use a single Redis, or Sentinel")
    if scheme not in REDIS_SCHEMES | AMQP_SCHEMES:
        raise ConfigurationError(
            f"Unknown broker URL {redacted(url)}: use redis://, rediss://, unix://, sentinel:// or amqp://"
        )
    if sentinel.is_sentinel(url):
        sentinel.sentinel_address(url)
    broker_ssl(url)
    return url


def check_redis_url(url: str) -> str:
    """The URL, if it names a Redis.

    Raises:
        ConfigurationError: it does not; says what would do.
    """
    if not is_redis(check_broker_url(url)):
        raise ConfigurationError(
            f"{redacted(url)} is not a Redis: state and results live in Redis; set PENSTOCK_REDIS_URL"
        )
    return url


def for_kombu(url: str) -> str:
    """The same broker in kombu's spelling: `unix://` is `redis+socket://` there."""
    if sentinel.is_sentinel(url):
        return sentinel.for_kombu(url)
    if scheme_of(url) in {"rediss", "amqps"}:
        return without_tls_options(url)
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    query = [("virtual_host" if name == "db" else name, value) for name, value in parse_qsl(parts.query)]
    return f"redis+socket://{parts.path}" + (f"?{urlencode(query)}" if query else "")


def redacted(url: str) -> str:
    """The URL without its passwords, for messages and logs."""
    parts = urlsplit(url)
    query = _PASSWORDS.sub(r"\1***", parts.query)
    if not parts.password:
        return urlunsplit(parts._replace(query=query)) if query != parts.query else url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{host}", query=query))
