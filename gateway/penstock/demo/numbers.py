"""The demo's results in numbers that can be drawn: shares, spans, rates. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Upper ends of the ranges of complexity; those of McCabe's risks are the last.
COMPLEXITIES = (1, 2, 3, 4, 5, 10, 20, 50)
#: Above it McCabe would split a function.
MCCABE = 10
#: Most steps of a rate over time; a step has this many calls at least, on average.
_STEPS, _CALLS_PER_STEP = 30, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How values lie: a few of them, sorted by size."""

    count: int
    p50: float
    p90: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Events per second in steps of equal length, from zero on."""

    step_s: float
    per_second: tuple[float, ...]


def spread(values: Iterable[float]) -> Spread | None:
    """The spread of values; None where there are none."""
    ranked = sorted(values)
    if not ranked:
        return None
    return Spread(
        count=len(ranked),
        p50=quantile(ranked, 0.5),
        p90=quantile(ranked, 0.9),
        p99=quantile(ranked, 0.99),
        most=ranked[-1],
    )


def quantile(ranked: Sequence[float], share: float) -> float:
    """The smallest of the values that so many of them do not exceed (nearest rank)."""
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def rate(ended_s: Sequence[float]) -> Rate:
    """How many ended per second, in steps that are long enough to say something.

    Args:
        ended_s: when each ended; the last step ends with the last of them.
    """
    took_s = max(ended_s, default=0.0)
    if took_s <= 0:
        return Rate(step_s=0.0, per_second=())
    steps = max(1, min(_STEPS, len(ended_s) // _CALLS_PER_STEP))
    counts = [0] * steps
    for end in ended_s:
        counts[min(steps - 1, int(end / took_s * steps))] += 1
    step_s = took_s / steps
    return Rate(step_s=step_s, per_second=tuple(count / step_s for count in counts))


def in_ranges(values: Iterable[int], ends: Sequence[int]) -> list[tuple[str, int]]:
    """How many values are in each range: up to the first end, up to the second, …, above the last."""
    counts = [0] * (len(ends) + 1)
    for value in values:
        counts[sum(value > end for end in ends)] += 1
    lows = [1, *(end + 1 for end in ends)]
    names = [
        f"{low:,}" if low == end else f"{low:,}\N{EN DASH}{end:,}"
        for low, end in zip(lows, ends, strict=False)
    ]
    return list(zip([*names, f"{lows[-1]:,}+"], counts, strict=True))


def in_decades(values: Iterable[float], *, low: float, high: float, per_decade: int) -> list[int]:
    """How many values are in each of equal steps of a logarithmic axis; what is outside is in the outermost.

    Args:
        values: all above zero.
        low: a power of ten.
        high: a larger power of ten.
        per_decade: steps of one decade.
    """
    steps = round(math.log10(high / low) * per_decade)
    counts = [0] * steps
    for value in values:
        place = math.floor(math.log10(value / low) * per_decade + 1e-9)
        counts[min(max(place, 0), steps - 1)] += 1
    return counts
