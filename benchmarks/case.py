"""What a benchmark is: a function that returns figures, how much of it to do, its goals and its charts.

A figure's name says its unit and so which way is better: rates (`…/s`), `…times as fast` and `share of…` are
better when they are higher, everything else (ms, µs, MB, %, times as long) when it is lower. `NAME @ X` is a
point of a curve: it is drawn, and not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: By name, with its unit in the name.
Figures = dict[str, float]

#: Redis's durability where a case does not say otherwise: nothing that was answered is lost with a power cut.
DURABLE = "append-only file, appendfsync always"
#: What Redis's documentation recommends, and most teams run.
EVERY_SECOND = "append-only file, appendfsync everysec"

_HIGHER_IS_BETTER = ("/s", "times as fast", "share of")
_POINT = " @ "


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure has to reach."""

    #: The part of the project that set it.
    part: int
    #: The goal in words.
    text: str
    figure: str
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A bar chart of some figures."""

    title: str
    unit: str
    #: Label of each bar → its figure. One that was not measured has no bar.
    bars: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """A line chart of figures that are named `NAME @ X`."""

    title: str
    unit: str
    #: What X is.
    along: str
    #: Label of each line → its NAME.
    lines: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One benchmark. The first line of its function's docstring says what is measured."""

    #: Takes how much of it to do (calls, turns).
    run: Callable[[int], Figures]
    #: How much is done for BENCHMARKS.md, and how much to see that it works.
    full: int
    quick: int
    goals: tuple[Goal, ...] = ()
    charts: tuple[Bars | Curves, ...] = ()
    #: Redis's durability on both sides.
    durability: str = DURABLE

    @property
    def about(self) -> str:
        """What is measured."""
        return (self.run.__doc__ or "").strip().splitlines()[0]


def higher_is_better(figure: str) -> bool:
    """Which way a figure is better, by its name."""
    return any(mark in figure for mark in _HIGHER_IS_BETTER)


def point(curve: str, x: float) -> str:
    """The name of a point of a curve."""
    return f"{curve}{_POINT}{x:g}"


def is_point(figure: str) -> bool:
    """Whether a figure is a point of a curve."""
    return _POINT in figure


def points(figures: Figures, curve: str) -> list[tuple[float, float]]:
    """The points of a curve, by X."""
    found = []
    for name, value in figures.items():
        of, mark, x = name.rpartition(_POINT)
        if mark and of == curve:
            found.append((float(x), value))
    return sorted(found)
