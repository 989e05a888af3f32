"""Parts of a plot as SVG: axes, columns, steps, dots. Colours and fonts are the page's, by class.

All plots have the same width, about a telephone's, so that their texts can be read on any screen. Whatever is
drawn has its figures as a title, which browsers show under the pointer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.demo.web.markup import Markup, element, joined
from penstock.demo.web.scales import Scale, Written, plain

#: Units of a drawing's width.
WIDTH = 440.0
#: Between two columns.
_GAP = 3.0
#: A column that stands for something is seen.
_LEAST_HEIGHT = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A drawing's height, and the room around what is plotted."""

    height: float = 250.0
    left: float = 46.0
    right: float = 14.0
    top: float = 26.0
    bottom: float = 42.0

    @property
    def x0(self) -> float:
        """Where the plot begins."""
        return self.left

    @property
    def x1(self) -> float:
        """Where it ends."""
        return WIDTH - self.right

    @property
    def y0(self) -> float:
        """Its ground."""
        return self.height - self.bottom

    @property
    def y1(self) -> float:
        """Its top."""
        return self.top


def drawing(height: float, says: str, parts: Iterable[Markup]) -> Markup:
    """The drawing; `says` is what those hear who do not see it."""
    return element("svg", *parts, viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", aria_label=says)


def words(text: str, x: float, y: float, *, anchor: str = "start", class_: str = "tick") -> Markup:
    """A line of text."""
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def x_axis(scale: Scale, ground: float, *, label: str, written: Written = plain) -> Markup:
    """Ticks below the ground, and what they count in the middle under them."""
    parts = [line(scale.start, ground, scale.end, ground, "axis")]
    for tick in scale.ticks:
        parts += [
            line(scale(tick), ground, scale(tick), ground + 4, "axis"),
            words(written(tick), scale(tick), ground + 17, anchor="middle"),
        ]
    parts.append(words(label, (scale.start + scale.end) / 2, ground + 34, anchor="middle", class_="label"))
    return element("g", *parts)


def y_axis(scale: Scale, frame: Frame, *, label: str, written: Written = plain) -> Markup:
    """A quiet line across the plot at each tick, and what they count above them."""
    parts = []
    for tick in scale.ticks:
        parts += [
            line(frame.x0, scale(tick), frame.x1, scale(tick), "grid"),
            words(written(tick), frame.x0 - 7, scale(tick) + 4, anchor="end"),
        ]
    # Above what is marked over the plot, and flush with the ticks.
    parts.append(words(label, 4, 12, class_="label"))
    return element("g", *parts)


def column(
    x1: float, x2: float, *, ground: float, height: float, class_: str, says: str, gap: float = _GAP
) -> Markup:
    """A column between two places."""
    height = max(height, _LEAST_HEIGHT) if height > 0 else 0.0
    return element(
        "rect",
        element("title", says),
        x=x1 + gap / 2,
        y=ground - height,
        width=x2 - x1 - gap,
        height=height,
        class_=class_,
    )


def steps(values: Sequence[float], x: Scale, y: Scale, *, class_: str) -> Markup:
    """An area whose upper edge is level for each value; together they reach over the whole of `x`."""
    ground = y(0.0)
    width = (x.end - x.start) / len(values)
    path = [f"M{x.start:.1f} {ground:.1f}"]
    for number, value in enumerate(values):
        path.append(f"V{y(value):.1f}H{x.start + (number + 1) * width:.1f}")
    return element("path", d=f"{''.join(path)}V{ground:.1f}Z", class_=class_)


def dots(places: Iterable[tuple[float, float, str]], *, class_: str) -> Markup:
    """A dot at each place: x, y, and what it stands for."""
    return element(
        "g",
        joined(element("circle", element("title", says), cx=x, cy=y, r=2.2) for x, y, says in places),
        class_=class_,
    )


def way(places: Sequence[tuple[float, float]], *, class_: str) -> Markup:
    """A line from place to place."""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return element("polyline", points=points, class_=class_)
