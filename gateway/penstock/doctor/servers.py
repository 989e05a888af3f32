"""Redis and the broker: whether they answer, are safe, and what a killed one still has."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast

import redis

from penstock.doctor.finding import Finding, Level
from penstock_broker_config.app import VISIBILITY_TIMEOUT_S, create_app
from penstock_broker_config.settings import Settings
from penstock_broker_config.urls import is_redis, redacted

#: The Redis that our scripts need.
MINIMUM_REDIS = (6, 2)
#: Seconds by which a host's clock may be off. Nothing of ours depends on it; logs do.
CLOCK_S = 1.0
#: Milliseconds of one round trip above which every call is slow.
SLOW_MS = 5.0


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
    if is_redis(url):
        yield _visibility_timeout(settings)


def _visibility_timeout(settings: Settings) -> Finding:
    longest = settings.operator_policy("").limits.timeout_s
    good = longest + settings.overrun_grace_s <= VISIBILITY_TIMEOUT_S
    return Finding(
        about="broker",
        level=Level.OK if good else Level.WARNING,
        message=f"A call may take {longest:g} s, and doorbells come again after {VISIBILITY_TIMEOUT_S} s"
        " (the visibility timeout)",
        advice=""
        if good
        else "Nothing runs twice at a time, but workers look in vain: lower limits.timeout_s",
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
