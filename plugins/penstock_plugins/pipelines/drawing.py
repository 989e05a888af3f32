"""Draws a pipeline for a terminal: a tree of its steps, with what is inside of them.

pages
├─ 1  markdown.to_html  (html)
│       if data.size > 0
├─ 2  branch data.size > 5
│     ├ true
│     │ └─ 1  text.stats
│     └ false
│       └─ (nothing)
└─ 3  catch failures of 1-2
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock_plugins.pipelines.drawing_facts import bodies_of, covered, facts_of
from penstock_plugins.pipelines.drawing_svg import draw_svg
from penstock_plugins.pipelines.model import CatchStep, Pipeline, Step
from penstock_plugins.printable import printable

__all__ = ["draw_svg", "draw_text"]


def draw_text(pipeline: Pipeline) -> str:
    """A pipeline as lines of text, without colours; nothing in it can steer a terminal."""
    lines = [pipeline.name]
    if pipeline.description:
        lines.append(printable(pipeline.description, 200))
    lines += _sequence(pipeline.steps)
    return "\n".join(line.rstrip() for line in lines)


def _sequence(steps: tuple[Step, ...]) -> Iterator[str]:
    if not steps:
        yield "└─ (nothing)"
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        mark = str(number + 1)
        # Everything under a step stands under its title.
        under = ("   " if last else "│  ") + " " * (len(mark) + 2)
        facts = facts_of(step, covered(steps, number) if isinstance(step, CatchStep) else "")
        name = f"  ({facts.name})" if facts.name else ""
        yield f"{'└' if last else '├'}─ {mark}  {facts.title}{name}"
        bodies = bodies_of(step)
        rail = "│ " if bodies else "  "
        for note in facts.notes:
            yield f"{under}{rail}{note}"
        for position, body in enumerate(bodies):
            ends = position == len(bodies) - 1
            yield f"{under}{'└' if ends else '├'} {body.label}"
            for line in _sequence(body.steps):
                yield f"{under}{'  ' if ends else '│ '}{line}"
