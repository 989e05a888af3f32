"""Where the system is that a process belongs to: as configured, or what `penstock up` runs on this host."""

from __future__ import annotations

import os
from typing import Any

import orjson

from penstock_broker_config.settings import Settings
from penstock_broker_config.urls import check_broker_url, check_redis_url, is_redis
from penstock_plugins.errors import ConfigurationError, UnreachableError

#: What `penstock up` writes into the state folder.
RUNNING_FILE = "up.json"


def located(settings: Settings) -> Settings:
    """The settings with both URLs filled in: from each other, or from the system that `penstock up` runs.

    Raises:
        UnreachableError: nothing is configured and nothing runs.
        ConfigurationError: the broker is no Redis and `redis_url` is missing.
    """
    broker, store = settings.broker_url, settings.redis_url
    if broker is None and store is None:
        running = running_system(settings)
        if running is None:
            raise UnreachableError(
                "No broker is configured and none is running here: "
                "run `penstock up`, or set PENSTOCK_BROKER_URL"
            )
        broker, store = running.get("broker_url"), running["redis_url"]
    if store is None:
        if broker is None or not is_redis(broker):
            raise ConfigurationError(
                "redis_url is missing: the broker is no Redis, and state and results live in one; "
                "set PENSTOCK_REDIS_URL"
            )
        store = broker
    return settings.model_copy(update={"broker_url": broker or store, "redis_url": store})


def running_system(settings: Settings) -> dict[str, Any] | None:
    """What `penstock up` wrote about itself on this machine; None when it does not run."""
    try:
        running = orjson.loads((settings.state_dir / RUNNING_FILE).read_bytes())
        store, broker = running["redis_url"], running.get("broker_url")
        check_redis_url(store)
        if broker is not None:
            check_broker_url(broker)
        os.kill(running["pid"], 0)
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, ConfigurationError):
        return None  # whoever wrote that file, it names no system of ours that runs
    return dict(running)
