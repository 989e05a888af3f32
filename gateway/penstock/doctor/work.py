"""The work itself: limits that hold it up, how much more may wait, and where large values go."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast

import redis

from penstock.doctor.finding import Finding, Level
from penstock_broker_config.ledger import Ledger, LimitState
from penstock_broker_config.settings import Settings
from penstock_broker_config.urls import redacted
from penstock_broker_config.values import open_values

#: Share of what may be pending from which on somebody should know.
NEARLY_FULL = 0.8
#: Limits that are named; the others are counted.
NAMED = 10


def check_limits(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    """Which limits let nothing start now."""
    limits = Ledger(client, settings.keys).limits()
    closed = [limit for limit in limits if limit.paused_until_ms is not None or _admits_nobody(limit)]
    if not closed:
        message = f"None of {len(limits)} limits is paused" if limits else "No limit is set or in use"
        yield Finding(about="limits", level=Level.OK, message=message)
    for limit in closed[:NAMED]:
        why, advice = "admits nobody", f"`penstock limits set {limit.key}` with other figures"
        if limit.paused_until_ms is not None:
            until = datetime.fromtimestamp(limit.paused_until_ms / 1000, UTC).astimezone()
            why = f"is paused until {until:%Y-%m-%d %H:%M:%S}"
            advice = f"`penstock limits set {limit.key} --resume` ends the pause"
        yield Finding(
            about="limits",
            level=Level.WARNING,
            message=f"{limit.key} {why}; {limit.waiting} keys or batches wait for it",
            advice=f"Nothing, if that is meant; {advice}",
        )
    if len(closed) > NAMED:
        yield Finding(
            about="limits",
            level=Level.WARNING,
            message=f"{len(closed) - NAMED} more limits let nothing start",
            advice="`penstock limits` lists them",
        )


def _admits_nobody(limit: LimitState) -> bool:
    return limit.concurrency == 0 or limit.rate_per_s == 0


def check_pending(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    """How near what is accepted and not at its end is to its bounds."""
    counts = cast("list[bytes | None]", client.hmget(settings.keys.pending, ["calls", "bytes"]))
    calls, size_bytes = (max(0, int(count or 0)) for count in counts)
    full = max(calls / settings.max_pending_calls, size_bytes / settings.max_pending_bytes)
    message = (
        f"{calls:,} of {settings.max_pending_calls:,} calls are pending, "
        f"with {size_bytes / 1e6:,.1f} of {settings.max_pending_bytes / 1e6:,.0f} MB of params"
    )
    advice = (
        "Start more workers, or raise PENSTOCK_MAX_PENDING_CALLS and PENSTOCK_MAX_PENDING_BYTES if Redis has "
        "the memory"
    )
    if full >= 1:
        yield Finding(
            about="pending",
            level=Level.PROBLEM,
            message=f"{message}: what is submitted now is refused as OVERLOADED",
            advice=advice,
        )
    elif full >= NEARLY_FULL:
        yield Finding(about="pending", level=Level.WARNING, message=message, advice=advice)
    else:
        yield Finding(about="pending", level=Level.OK, message=message)


def check_values(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    """Whether large params and results can be written, read and removed where they are to be kept."""
    if settings.values_url is None:
        yield Finding(about="values", level=Level.OK, message="Large params and results are kept in Redis")
        return
    open_values(client, settings)  # says what is not installed, or is no URL
    where = redacted(settings.values_url)
    try:
        _write_and_remove(settings.values_url)
    except Exception as error:  # noqa: BLE001  # every kind of URL has errors of its own
        yield Finding(
            about="values",
            level=Level.PROBLEM,
            message=f"Large params and results cannot be kept under {where}: {error}",
            advice="Correct PENSTOCK_VALUES_URL, or let this user read, write and remove files there",
        )
        return
    yield Finding(
        about="values", level=Level.OK, message=f"Large params and results can be kept under {where}"
    )


def _write_and_remove(url: str) -> None:
    from fsspec.core import url_to_fs  # only where a URL is set: it is an extra

    files, root = cast("tuple[Any, str]", url_to_fs(url))
    # Named like nothing that belongs to a job: collecting never looks at it.
    path, content = f"{root}/.doctor-{secrets.token_hex(8)}", secrets.token_bytes(32)
    files.makedirs(root, exist_ok=True)
    files.pipe_file(path, content)
    try:
        if files.cat_file(path) != content:
            raise OSError("what was written is not what is read")
    finally:
        files.rm_file(path)
