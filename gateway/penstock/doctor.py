"""Looks at an installation as an experienced operator would, and says what to do about what it finds.

Each check is a function that yields findings; one that cannot look says so, and the others go on.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import redis

from penstock_broker_config.app import VISIBILITY_TIMEOUT_S, create_app
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import Settings, located
from penstock_broker_config.store import connect_store
from penstock_broker_config.urls import is_redis, redacted
from penstock_plugins.errors import PenstockError

#: The Redis that our scripts need.
MINIMUM_REDIS = (6, 2)
#: Seconds by which a host's clock may be off. Nothing of ours depends on it; logs do.
CLOCK_S = 1.0
#: Milliseconds of one round trip above which every call is slow.
SLOW_MS = 5.0


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: It works; something is not as safe or as quick as it could be.
    WARNING = "warning"
    #: It does not work, or loses what it promised to keep.
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    about: str
    level: Level
    message: str
    #: What to do. Empty: nothing.
    advice: str = ""


Check = Callable[[Settings, redis.Redis], Iterator[Finding]]


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """
    settings = located(settings)
    client = connect_store(settings)
    for check in (
        check_redis,
        check_durability,
        check_broker,
        check_clock,
        check_cache,
        check_plugins,
        check_keys,
    ):
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


def check_redis(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    """Whether it answers, how soon, and whether it is new enough and never evicts."""
    about = client.info()
    took = []
    for _ in range(5):
        started = time.perf_counter()
        client.ping()
        took.append((time.perf_counter() - started) * 1000)
    fastest = min(took)
    version = str(about.get("redis_version", "0"))
    yield Finding(
        about="redis",
        level=Level.OK if fastest < SLOW_MS else Level.WARNING,
        message=f"Redis {version} at {redacted(settings.redis_url or '')} answers in {fastest:.1f} ms",
        advice=""
        if fastest < SLOW_MS
        else "Bring workers and Redis closer together: each batch asks it twice",
    )
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_REDIS:
        yield Finding(
            about="redis",
            level=Level.PROBLEM,
            message=f"Redis {version} is too old",
            advice="Use 6.2 or newer, patched",
        )
    policy = about.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            about="redis",
            level=Level.PROBLEM,
            message=f"It evicts keys when memory is short (maxmemory-policy {policy})",
            advice="Set maxmemory-policy noeviction: an evicted key is a lost call",
        )


def check_durability(_: Settings, client: redis.Redis) -> Iterator[Finding]:
    """What a killed Redis still has."""
    if not client.info("persistence").get("aof_enabled"):
        yield Finding(
            about="durability",
            level=Level.PROBLEM,
            message="Redis keeps nothing on disk: when it ends, all accepted calls are lost",
            advice="Set appendonly yes and appendfsync always",
        )
        return
    try:
        policy = cast("dict[str, str]", client.config_get("appendfsync")).get("appendfsync")
    except redis.ResponseError:  # an ACL without `config`
        yield Finding(
            about="durability",
            level=Level.WARNING,
            message="Redis appends to a file; how often it syncs it may not be asked here",
            advice="Make sure that appendfsync is always",
        )
        return
    if policy == "always":
        yield Finding(
            about="durability", level=Level.OK, message="Every write is on disk before it is answered"
        )
        return
    yield Finding(
        about="durability",
        level=Level.WARNING,
        message=f"appendfsync is {policy}: a killed Redis may lose the calls of its last moment",
        advice="Set appendfsync always, or replicas and WAIT",
    )


def check_broker(settings: Settings, _: redis.Redis) -> Iterator[Finding]:
    """Whether doorbells can be rung, and stay away while a batch runs."""
    url = settings.broker_url or ""
    try:
        with create_app(settings).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
    except Exception as error:  # noqa: BLE001  # every transport has errors of its own
        yield Finding(
            about="broker",
            level=Level.PROBLEM,
            message=f"The broker at {redacted(url)} does not answer: {error}",
            advice="Start it, or correct PENSTOCK_BROKER_URL",
        )
        return
    yield Finding(about="broker", level=Level.OK, message=f"The broker at {redacted(url)} answers")
    longest = settings.operator_policy("").limits.timeout_s
    if is_redis(url) and longest + settings.overrun_grace_s > VISIBILITY_TIMEOUT_S:
        yield Finding(
            about="broker",
            level=Level.WARNING,
            message=f"A call may take {longest:g} s, and doorbells come again after {VISIBILITY_TIMEOUT_S} s",
            advice="Nothing runs twice at a time, but workers look in vain: lower limits.timeout_s",
        )


def check_clock(_: Settings, client: redis.Redis) -> Iterator[Finding]:
    """Whether this host's clock agrees with Redis's, by which all deadlines go."""
    seconds, micros = client.time()
    off = time.time() - (seconds + micros / 1e6)
    good = abs(off) < CLOCK_S
    yield Finding(
        about="clock",
        level=Level.OK if good else Level.WARNING,
        message=f"This host's clock is {off:+.1f} s off Redis's",
        advice=""
        if good
        else "Run NTP: deadlines go by Redis's clock, but logs of several hosts will not fit",
    )


def check_cache(settings: Settings, _: redis.Redis) -> Iterator[Finding]:
    """Whether native code can be kept here, and nobody else can write it."""
    folder = settings.cache_dir / "artifacts"
    if not folder.exists():
        yield Finding(
            about="cache", level=Level.OK, message=f"{folder} is made by the first worker on this host"
        )
        return
    about = folder.stat()
    if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
        yield Finding(
            about="cache",
            level=Level.PROBLEM,
            message=f"{folder} is not private to user {os.geteuid()}",
            advice=f"chown it, and `chmod 700 {folder}`: who writes it runs code in every worker",
        )
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            about="cache",
            level=Level.PROBLEM,
            message=f"{folder} cannot be written: every start compiles every plugin",
            advice="Mount a volume there that may be written",
        )
    else:
        count = len(list(folder.glob("*.cwasm")))
        yield Finding(about="cache", level=Level.OK, message=f"{count} compiled plugins in {folder}")


def check_plugins(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    """Whether there is something to call, and this host has it compiled."""
    records = RedisCatalog(client, settings.keys).records()
    if not records:
        yield Finding(
            about="plugins",
            level=Level.WARNING,
            message="No plugin is published",
            advice="`penstock plugin publish DIR`",
        )
        return
    folder = settings.cache_dir / "artifacts"
    cold = [r for r in records if not any(folder.glob(f"{r.digest[:16]}-*.cwasm"))]
    yield Finding(
        about="plugins",
        level=Level.OK,
        message=f"{len(records)} published, {sum(len(r.tools) for r in records)} tools",
    )
    if cold:
        names = ", ".join(f"{r.name}@{r.version}" for r in cold)
        yield Finding(
            about="plugins",
            level=Level.WARNING,
            message=f"Not compiled on this host: {names}",
            advice="A worker that starts here compiles them before it accepts work",
        )


def check_keys(settings: Settings, _: redis.Redis) -> Iterator[Finding]:
    """Whether calls are signed."""
    if settings.signing_secret() is not None:
        yield Finding(about="keys", level=Level.OK, message="Calls are signed")
    elif (settings.redis_url or "").startswith("unix:"):
        yield Finding(
            about="keys", level=Level.OK, message="Calls are not signed; Redis is this user's alone"
        )
    else:
        yield Finding(
            about="keys",
            level=Level.WARNING,
            message="Calls are not signed: who can write to Redis can call any tool",
            advice="Set PENSTOCK_SIGNING_KEY for producers and workers (`openssl rand -hex 32`)",
        )
