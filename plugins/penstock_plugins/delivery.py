"""How a tool's calls are batched, limited and tried again, as its plugin declares it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock_plugins.printable import printable

_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)/(s|min|h)")
_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
_MOST_PER_UNIT = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """When calls of a tool leave together (B-1)."""

    #: Template of the batch key (see `key_template`). None: only callers give keys.
    key: str | None = None
    #: A batch leaves with so many calls, so many bytes of params, or when its oldest call has waited so long.
    max_size: int = 64
    max_bytes: int = 1 << 20
    max_wait_ms: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule:
    """A limit that holds over all hosts (B-2). Tools whose keys are equal share it."""

    #: Template of the limit's key.
    key: str
    #: Batches that run at once. None: as many as there are.
    concurrency: int | None = None
    #: Calls that may start in a second, and at once after a while without any. None: however many.
    rate_per_s: float | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """How a call that failed in passing is tried again (E-2)."""

    max_attempts: int = 3
    base_ms: int = 100
    cap_ms: int = 5000


def parse_rate(rate: object) -> float:
    """Calls a second of a rate as people write it: `10/s`, `600/min`, `5000/h`, or a number.

    Raises:
        ValueError: it is no rate.
    """
    match = _RATE.fullmatch(rate.strip()) if isinstance(rate, str) else None
    count = float(match[1]) if match else rate
    if not isinstance(count, int | float) or isinstance(count, bool) or not 0 < count <= _MOST_PER_UNIT:
        said = printable(repr(rate), 80)
        raise ValueError(f"a rate must be like 10/s, 600/min or 5000/h, or calls a second; got {said}")
    return count / (_UNITS_S[match[2]] if match else 1.0)
