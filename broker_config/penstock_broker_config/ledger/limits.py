"""Limits as the operator sets and sees them: concurrency and rate of a key, over all hosts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.requests import Request

#: Says that a limit is taken away although the tool declares one.
UNLIMITED = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChange:
    """What the operator changes about a key; None leaves a figure as it is."""

    #: Batches that run at once, over all hosts. `UNLIMITED`: however many.
    concurrency: float | None = None
    #: Calls that may start in a second. `UNLIMITED`: however many.
    rate_per_s: float | None = None
    burst: float | None = None
    #: Until when nothing starts, by Redis's clock; 0 ends a pause.
    paused_until_ms: int | None = None
    #: Share of a tenant (`tenant:NAME`) against others, or of a batch key within its tenant.
    weight: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitState:
    """A key as it stands."""

    key: str
    #: What counts; None: unlimited.
    concurrency: float | None
    rate_per_s: float | None
    burst: float | None
    #: Whether the operator has set any of it.
    set_by_operator: bool
    #: Slots taken now, and who waits for one: buffers and batches.
    running: int
    waiting: int
    #: Until when it pauses, by Redis's clock, and for how long from now. None: it does not.
    paused_until_ms: int | None
    paused_for_ms: int | None
    #: As in `LimitChange`.
    weight: float


class LimitRequests:
    """Builds the requests that change limits."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def change(self, key: str, change: LimitChange) -> Request[int]:
        return Request(
            script="limit",
            keys=[],
            args=[
                self._keys.prefix,
                one_line(key),
                "set",
                _figure(change.concurrency),
                _figure(change.rate_per_s),
                _figure(change.burst),
                _figure(change.paused_until_ms),
                _figure(change.weight),
                weighed(key),
            ],
            read=int,
        )

    def clear(self, key: str) -> Request[int]:
        return Request(
            script="limit",
            keys=[],
            args=[self._keys.prefix, one_line(key), "clear", weighed(key)],
            read=int,
        )


def one_line(key: str) -> str:
    """A limit's key as the scripts keep it: they list keys a line each, and callers' params are in keys."""
    return key.replace("\n", "\\n")


def weighed(key: str) -> str:
    """Under which name the key's weight is kept."""
    return key if key.startswith(("tenant:", "key:")) else f"key:{key}"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return "inf" if math.isinf(value) else repr(value)


def read_limit(key: str, answers: Sequence[Any], now_ms: int) -> LimitState:
    """The state of a key.

    Args:
        key: its name.
        answers: its hash, whether the operator has set it, slots taken, how many wait, its weight.
        now_ms: Redis's clock.
    """
    fields: Mapping[bytes, bytes] = answers[0]

    def either(own: bytes, declared: bytes) -> float | None:
        value = fields.get(own) or fields.get(declared) or b""
        return None if value in (b"", b"inf") else float(value)

    paused = int(float(fields.get(b"p") or 0))
    rate = either(b"r", b"dr")
    return LimitState(
        key=key,
        concurrency=either(b"c", b"dc"),
        rate_per_s=rate,
        burst=None if rate is None else max(1.0, either(b"b", b"db") or rate),
        set_by_operator=bool(answers[1]),
        running=int(answers[2]),
        waiting=int(answers[3]),
        paused_until_ms=paused if paused > now_ms else None,
        paused_for_ms=paused - now_ms if paused > now_ms else None,
        weight=float(answers[4] or 1),
    )
