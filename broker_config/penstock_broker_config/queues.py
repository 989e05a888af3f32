"""The queues that doorbells ring on: three by urgency, and one for each worker pool (I-9)."""

from __future__ import annotations

import re

from kombu import Exchange, Queue

from penstock_broker_config.urls import AMQP_SCHEMES, scheme_of
from penstock_plugins.errors import ConfigurationError

HIGH = "penstock.high"
DEFAULT = "penstock.default"
BULK = "penstock.bulk"
POOL_PREFIX = "penstock.pool."

_POOL_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SHORT_NAMES = {"high": HIGH, "default": DEFAULT, "bulk": BULK}


def queue_name(name: str) -> str:
    """The full name of a queue: `bulk` is `penstock.bulk`, `pool.gpu` is `penstock.pool.gpu`.

    Raises:
        ConfigurationError: there is no such queue.
    """
    full = _SHORT_NAMES.get(name, name)
    if name.startswith("pool."):
        full = f"penstock.{name}"
    pool = full.removeprefix(POOL_PREFIX)
    if full in _SHORT_NAMES.values() or (full != pool and _POOL_NAME.fullmatch(pool)):
        return full
    raise ConfigurationError(f"Unknown queue {name!r}: use high, default, bulk or pool.NAME")


def pool_queue(pool: str) -> str:
    """The queue of a worker pool.

    Raises:
        ConfigurationError: the name cannot be one.
    """
    return queue_name(POOL_PREFIX + pool)


def declare(name: str, broker_url: str) -> Queue:
    """The queue as kombu declares it: a durable quorum queue on RabbitMQ, a list on Redis."""
    arguments = {"x-queue-type": "quorum"} if scheme_of(broker_url) in AMQP_SCHEMES else None
    return Queue(name, Exchange("penstock", type="direct"), routing_key=name, queue_arguments=arguments)
