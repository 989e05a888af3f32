"""Draws a pipeline as an SVG: from top to bottom, arms and branches beside each other. Light and dark.

Blocks are measured first and drawn then, each around its middle: a line comes in at the middle of its top and
goes out at the middle of its bottom.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from html import escape

from penstock_plugins.pipelines.drawing_facts import Facts, bodies_of, covered, facts_of
from penstock_plugins.pipelines.model import BranchStep, CatchStep, Pipeline, Step

#: Pixels: of a character, between lines of text, inside of boxes, and between blocks.
_CHAR, _LINE, _PAD, _GAP = 7.3, 16.0, 10.0, 22.0
_STYLE = """
svg{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:#fff}
text{fill:#1f2328} .note,.label{fill:#59636e} .title{font-weight:600}
rect{fill:#f6f8fa;stroke:#59636e;rx:6} .tool{fill:#ddf4ff;stroke:#0969da}
.group{fill:none;stroke-dasharray:5 4}
.catch{stroke:#bc4c00} path{fill:none;stroke:#59636e} circle{fill:#59636e}
@media(prefers-color-scheme:dark){svg{background:#0d1117} text{fill:#f0f6fc} .note,.label{fill:#9198a1}
rect{fill:#151b23;stroke:#9198a1} .tool{fill:#121d2f;stroke:#4493f8} .group{fill:none} .catch{stroke:#db6d28}
path{stroke:#9198a1} circle{fill:#9198a1}}
""".replace("\n", "")


def draw_svg(pipeline: Pipeline) -> str:
    """A pipeline as a picture that stands on its own: no scripts, no fonts or files from elsewhere."""
    body = _sequence(pipeline.steps)
    head = _Label(pipeline.name)
    width = max(body.width, head.width) + 4 * _PAD
    height = head.height + body.height + 2 * _GAP + 3 * _PAD
    middle, y = width / 2, _PAD + head.height
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    name = _text(pipeline.name)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{name}">',
        f"<title>{name}</title>",
        f"<style>{_STYLE}</style>",
        *head.draw(middle, _PAD),
        f'<circle cx="{middle:.1f}" cy="{y + 4:.1f}" r="4"/>',
        _line(middle, y + 4, y + _GAP),
        *body.draw(middle, y + _GAP),
        _line(middle, y + _GAP + body.height, y + 2 * _GAP + body.height),
        f'<circle cx="{middle:.1f}" cy="{y + 2 * _GAP + body.height:.1f}" r="4"/>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Block(ABC):
    """A part of the picture."""

    width: float
    height: float

    @abstractmethod
    def draw(self, middle: float, top: float) -> Iterator[str]:
        """Its elements, around a vertical line and down from a height."""


class _Label(_Block):
    """A line of text without a box."""

    def __init__(self, text: str) -> None:
        self._said = text
        self.width, self.height = _CHAR * len(text), _LINE + 4

    def draw(self, middle: float, top: float) -> Iterator[str]:
        yield _write(self._said, middle, top + _LINE - 4, "label")


class _Node(_Block):
    """A step that has nothing inside."""

    def __init__(self, facts: Facts, css: str) -> None:
        self._title = f"{facts.title} ({facts.name})" if facts.name else facts.title
        self._notes, self._css = facts.notes, css
        longest = max(len(line) for line in (self._title, *facts.notes))
        self.width = _CHAR * longest + 2 * _PAD
        self.height = _LINE * (1 + len(facts.notes)) + _PAD

    def draw(self, middle: float, top: float) -> Iterator[str]:
        yield _rect(middle - self.width / 2, top, self.width, self.height, self._css)
        yield from _lines(self._title, self._notes, middle, top + _LINE)


class _Column(_Block):
    """Blocks under each other."""

    def __init__(self, blocks: Sequence[_Block]) -> None:
        self._blocks = blocks
        self.width = max((block.width for block in blocks), default=4 * _PAD)
        self.height = sum(block.height for block in blocks) + _GAP * max(len(blocks) - 1, 0)

    def draw(self, middle: float, top: float) -> Iterator[str]:
        for number, block in enumerate(self._blocks):
            if number:
                yield _line(middle, top, top + _GAP)
                top += _GAP
            yield from block.draw(middle, top)
            top += block.height


class _Columns(_Block):
    """Columns beside each other, each under its label.

    Args:
        columns: their labels and what is in them.
        joined: whether a line goes on from each down to the end of the longest.
    """

    def __init__(self, columns: Sequence[tuple[str, _Block]], *, joined: bool) -> None:
        self._joined = joined
        self._columns = [(_Label(label), block) for label, block in columns]
        self._widths = [max(label.width, block.width) for label, block in self._columns]
        self.width = sum(self._widths) + _GAP * (len(columns) - 1)
        self.height = _LINE + 4 + max(block.height for _, block in self._columns)

    def middles(self, middle: float) -> list[float]:
        """Where the middle of each column is."""
        left, found = middle - self.width / 2, []
        for width in self._widths:
            found.append(left + width / 2)
            left += width + _GAP
        return found

    def draw(self, middle: float, top: float) -> Iterator[str]:
        for (label, block), at in zip(self._columns, self.middles(middle), strict=True):
            yield from label.draw(at, top)
            below = top + label.height
            yield from block.draw(at, below)
            if self._joined and below + block.height < top + self.height:
                yield _line(at, below + block.height, top + self.height)


class _Fork(_Block):
    """A branch: one of its arms is gone through."""

    def __init__(self, node: _Node, arms: _Columns) -> None:
        self._node, self._arms = node, arms
        self.width = max(node.width, arms.width)
        self.height = node.height + arms.height + 2 * _GAP

    def draw(self, middle: float, top: float) -> Iterator[str]:
        yield from self._node.draw(middle, top)
        begin = top + self._node.height
        end = begin + _GAP + self._arms.height
        for at in self._arms.middles(middle):
            yield _path(f"M{middle:.1f} {begin:.1f}V{begin + _GAP / 2:.1f}H{at:.1f}V{begin + _GAP:.1f}")
            yield _path(f"M{at:.1f} {end:.1f}V{end + _GAP / 2:.1f}H{middle:.1f}V{end + _GAP:.1f}")
        yield from self._arms.draw(middle, begin + _GAP)


class _Group(_Block):
    """A fan-out or a handler: a frame around what is inside."""

    def __init__(self, facts: Facts, inside: _Columns, css: str) -> None:
        self._title = f"{facts.title} ({facts.name})" if facts.name else facts.title
        self._notes, self._inside, self._css = facts.notes, inside, css
        longest = max(len(line) for line in (self._title, *facts.notes))
        self._head = _LINE * (1 + len(facts.notes)) + _PAD
        self.width = max(_CHAR * longest, inside.width) + 2 * _PAD
        self.height = self._head + inside.height + _PAD

    def draw(self, middle: float, top: float) -> Iterator[str]:
        yield _rect(middle - self.width / 2, top, self.width, self.height, self._css)
        yield from _lines(self._title, self._notes, middle, top + _LINE)
        yield from self._inside.draw(middle, top + self._head)


def _sequence(steps: tuple[Step, ...]) -> _Column:
    return _Column([_block(step, steps, number) for number, step in enumerate(steps)])


def _block(step: Step, steps: tuple[Step, ...], number: int) -> _Block:
    facts = facts_of(step, covered(steps, number) if isinstance(step, CatchStep) else "")
    facts = facts._replace(title=f"{number + 1} {facts.title}")
    bodies = [(body.label, _sequence(body.steps)) for body in bodies_of(step)]
    if not any(body.steps for body in bodies_of(step)):
        return _Node(facts, "tool" if step.kind == "tool" else "step")
    if isinstance(step, BranchStep):
        return _Fork(_Node(facts, "step"), _Columns(bodies, joined=True))
    css = "group catch" if isinstance(step, CatchStep) else "group"
    return _Group(facts, _Columns(bodies, joined=False), css)


def _lines(title: str, notes: Sequence[str], middle: float, base: float) -> Iterator[str]:
    yield _write(title, middle, base, "title")
    for number, note in enumerate(notes, start=1):
        yield _write(note, middle, base + _LINE * number, "note")


def _write(text: str, x: float, y: float, css: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" class="{css}">{_text(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, css: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{css}"/>'


def _line(x: float, begin: float, end: float) -> str:
    return _path(f"M{x:.1f} {begin:.1f}V{end:.1f}")


def _path(way: str) -> str:
    return f'<path d="{way}"/>'


def _text(text: str) -> str:
    return escape(text, quote=True)
