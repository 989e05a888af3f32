"""What a drawing says of a step, in words; both kinds of drawings say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from penstock_plugins.pipelines.model import (
    BranchStep,
    CatchStep,
    FilterStep,
    MapStep,
    Step,
    ToolStep,
    TransformStep,
)
from penstock_plugins.printable import printable

#: Characters of an expression or a value that a drawing shows.
MAX_SHOWN_CHARS = 60


class Facts(NamedTuple):
    """A step in words."""

    #: What it does: the tool that it calls, or its kind and its expression.
    title: str
    #: Its own name. "": it has none.
    name: str
    #: What is special about it, a few words each.
    notes: list[str]


class Body(NamedTuple):
    """A sequence inside a step."""

    #: Over it: `true`, `false`, `each`, `then`, or a branch's name.
    label: str
    steps: tuple[Step, ...]


def facts_of(step: Step, covers: str = "") -> Facts:
    """A step in words.

    Args:
        step: it.
        covers: of a catch: the positions of the steps whose failures it takes.
    """
    notes = [] if step.when is None else [f"if {_shown(step.when)}"]
    if isinstance(step, ToolStep):
        notes += _notes_of_tool(step)
    if step.stop_when is not None:
        notes.append(f"ends here if {_shown(step.stop_when)}")
    return Facts(_title(step, covers), step.name or "", notes)


def covered(steps: tuple[Step, ...], number: int) -> str:
    """The steps that a catch covers, as `1-3`: those before it, back to the catch before.

    Args:
        steps: its sequence.
        number: its position, from 0.
    """
    first = number
    while first > 0 and not isinstance(steps[first - 1], CatchStep):
        first -= 1
    # The handler of the catch before may fail, too.
    first = max(first - 1, 0) if first else first
    return str(number) if first + 1 >= number else f"{first + 1}-{number}"


def bodies_of(step: Step) -> list[Body]:
    """The sequences inside a step."""
    labels: Mapping[str, str] = {"if_true": "true", "if_false": "false", "steps": "each", "catch": "then"}
    return [Body(labels.get(key, key.partition(".")[2] or key), body) for key, body in step.bodies().items()]


def _title(step: Step, covers: str) -> str:
    match step:
        case ToolStep():
            return printable(step.tool, MAX_SHOWN_CHARS)
        case TransformStep():
            return f"transform {_shown_value(step.transform)}"
        case FilterStep():
            return f"filter {_shown(step.filter)}"
        case BranchStep():
            return f"branch {_shown(step.branch)}"
        case MapStep():
            return f"map {_shown(step.map)}"
        case CatchStep():
            return f"catch failures of {covers}" if covers else "catch"
        case _:
            return "parallel"


def _notes_of_tool(step: ToolStep) -> list[str]:
    notes: list[str] = []
    if step.params != "inherit":
        notes.append(f"params {_shown_value(step.params)}")
    if step.output is not None:
        notes.append(f"output {_shown_value(step.output)}")
    if step.continue_on_error:
        rest = f" with {_shown_value(step.default)}" if step.has_default else ""
        notes.append(f"goes on after a failure{rest}")
    if step.timeout_s is not None:
        notes.append(f"{step.timeout_s:g} s at most")
    if step.retry is not None:
        notes.append(f"{step.retry.max_attempts} attempts at most")
    if step.compensate is not None:
        notes.append(f"undone by {printable(step.compensate.tool, MAX_SHOWN_CHARS)}")
    return notes


def _shown(expression: str) -> str:
    return printable(" ".join(expression.split()), MAX_SHOWN_CHARS)


def _shown_value(value: Any) -> str:
    """A value; of a large table only its keys."""
    text = orjson.dumps(value).decode()
    if len(text) > MAX_SHOWN_CHARS and isinstance(value, dict):
        text = f"{{{', '.join(value)}}}"
    return _shown(text)
