"""From values to places on an axis, with ticks where people expect them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

#: Steps between ticks, times a power of ten.
_NICE = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """An axis: values from `low` to `high` lie from `start` to `end`, in units of the drawing."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Where the value lies; what is outside lies at the edge."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def linear(high: float, *, start: float, end: float, ticks: int = 5, exact: bool = False) -> Scale:
    """From zero to at least `high`, to a tick unless it must be exact; about that many ticks."""
    high = high if high > 0 else 1.0
    step = _step(high / ticks)
    count = math.floor(high / step + 1e-9) if exact else math.ceil(high / step - 1e-9)
    return Scale(
        low=0.0,
        high=high if exact else count * step,
        start=start,
        end=end,
        ticks=tuple(round(number * step, 12) for number in range(count + 1)),
    )


def logarithmic(low: float, high: float, *, start: float, end: float, decades: bool = False) -> Scale:
    """With a tick at each power of ten, from and to the next 1, 2 or 5 of one.

    Args:
        low: the least value, above zero.
        high: the largest.
        start: where the axis begins.
        end: where it ends.
        decades: begin and end at powers of ten.
    """
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    marks = [step * 10.0**power for power in range(first, last) for step in (1, 2, 5)] + [10.0**last]
    if not decades:
        marks = [
            *[mark for mark in marks if mark <= low * (1 + 1e-9)][-1:],
            *[mark for mark in marks if low * (1 + 1e-9) < mark < high * (1 - 1e-9)],
            *[mark for mark in marks if mark >= high * (1 - 1e-9) and mark > low * (1 + 1e-9)][:1],
        ]
    powers = tuple(10.0**power for power in range(first, last + 1) if marks[0] <= 10.0**power <= marks[-1])
    return Scale(
        low=marks[0],
        high=marks[-1],
        start=start,
        end=end,
        # Less than two powers of ten would leave a reader alone.
        ticks=powers if len(powers) > 2 else tuple(marks),
        logarithmic=True,
    )


def plain(value: float) -> str:
    """A number on an axis: 0.5, 20, 3,000, 20k."""
    if value >= 10_000:
        return f"{value / 1000:,.10g}k"
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"


def seconds(value: float) -> str:
    """A duration on an axis, from its seconds: 20 µs, 5 ms, 1 s, 100 s."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value == 0 or value * factor >= 0.9995:
            return (
                f"{value * factor:,.3g} {unit}" if value * factor < 1000 else f"{value * factor:,.0f} {unit}"
            )
    return f"{value * 1e9:.0f} ns"


#: How an axis writes its ticks.
Written = Callable[[float], str]


def _step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in _NICE if step * power >= raw * (1 - 1e-9))
