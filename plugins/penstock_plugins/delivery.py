"""How a tool's calls are batched, limited and tried again, as its plugin declares it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from penstock_plugins.key_template import KeyTemplate
from penstock_plugins.limits import MIB
from penstock_plugins.printable import printable

_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)/(s|min|h)")
_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
_MOST_PER_UNIT = 1e9
#: Limits of one tool at most.
MAX_LIMITS = 8
#: Least and most of each figure, in manifests and in records.
BOUNDS = {
    "max_size": (1, 2048),
    "max_bytes": (1, 16 * MIB),
    "max_wait_ms": (0, 600_000),
    "concurrency": (1, 1_000_000),
    "burst": (1, 1_000_000),
    "max_attempts": (1, 100),
    "base_ms": (1, 3_600_000),
    "cap_ms": (1, 3_600_000),
}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How the calls of one tool get to it."""

    batching: Batching = Batching()
    #: What all of a call's keys must let through before it runs.
    limits: tuple[LimitRule, ...] = ()
    retry: RetryRule = RetryRule()

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` reads it back."""
        return {
            "batching": asdict(self.batching),
            "limits": [asdict(rule) for rule in self.limits],
            "retry": asdict(self.retry),
        }

    @classmethod
    def from_dict(cls, shape: object) -> Delivery:
        """What `to_dict` wrote; it comes from a catalog, which may be damaged.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(shape, dict) or not set(shape) <= {"batching", "limits", "retry"}:
            raise ValueError("it says not how a tool's calls are delivered")
        limits = shape.get("limits", [])
        if not isinstance(limits, list) or len(limits) > MAX_LIMITS:
            raise ValueError(f"limits must be a list of at most {MAX_LIMITS}")
        return cls(
            batching=Batching(
                **_checked(shape.get("batching", {}), {"key", "max_size", "max_bytes", "max_wait_ms"})
            ),
            limits=tuple(
                LimitRule(**_checked(rule, {"key", "concurrency", "rate_per_s", "burst"}, {"key"}))
                for rule in limits
            ),
            retry=RetryRule(**_checked(shape.get("retry", {}), {"max_attempts", "base_ms", "cap_ms"})),
        )


def _checked(
    shape: object, known: set[str], required: frozenset[str] | set[str] = frozenset()
) -> dict[str, Any]:
    if not isinstance(shape, dict) or not required <= set(shape) <= known:
        raise ValueError(f"it must have nothing but {', '.join(sorted(known))}")
    optional = {"key", "concurrency", "rate_per_s", "burst"} - required
    for name, value in shape.items():
        if value is None and name in optional:
            continue
        if name == "key":
            if not isinstance(value, str):
                raise ValueError("a key is a text")
            KeyTemplate(value)
        elif name == "rate_per_s":
            if isinstance(value, str):
                raise ValueError("rate_per_s is a number")
            parse_rate(value)
        elif type(value) is not int or not BOUNDS[name][0] <= value <= BOUNDS[name][1]:
            raise ValueError(f"{name} must be from {BOUNDS[name][0]} to {BOUNDS[name][1]}")
    return shape


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
