"""Looks at an installation as an experienced operator would, and says what to do about what it finds.

Each check is a function that yields findings; one that cannot look says so, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis

from penstock.doctor.finding import Finding, Level
from penstock.doctor.hosts import check_cache, check_fleet, check_keys, check_plugins
from penstock.doctor.servers import check_broker, check_clock, check_durability, check_redis
from penstock.doctor.work import check_limits, check_pending, check_values
from penstock_broker_config.location import located
from penstock_broker_config.settings import Settings
from penstock_broker_config.store import connect_store
from penstock_broker_config.urls import redacted
from penstock_plugins.errors import PenstockError

__all__ = ["Finding", "Level", "examine"]

Check = Callable[[Settings, redis.Redis], Iterator[Finding]]

#: In the order in which they are told. Without Redis there is nothing more to look at.
CHECKS: tuple[Check, ...] = (
    check_redis,
    check_durability,
    check_broker,
    check_clock,
    check_values,
    check_cache,
    check_plugins,
    check_fleet,
    check_keys,
    check_pending,
    check_limits,
)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """
    settings = located(settings)
    client = connect_store(settings)
    for check in CHECKS:
        about = check.__name__.removeprefix("check_")
        try:
            yield from check(settings, client)
        except redis.RedisError as error:
            where = redacted(settings.redis_url or "")
            yield Finding(
                about=about,
                level=Level.PROBLEM,
                message=f"Redis at {where} does not answer: {error}",
                advice="Start it, or correct PENSTOCK_REDIS_URL",
            )
            if check is check_redis:
                return
        except PenstockError as error:
            yield Finding(about=about, level=Level.PROBLEM, message=str(error))
