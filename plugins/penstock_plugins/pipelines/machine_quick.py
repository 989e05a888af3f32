"""The short way to values of expressions that are plain paths and texts: no table of roots, no budget.

Whatever it does not know (a path that leads nowhere, a value that is large) it leaves to `value_of`, which
says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from penstock_plugins.pipelines.expressions import CompiledTemplate
from penstock_plugins.pipelines.expressions_paths import Path
from penstock_plugins.pipelines.expressions_quick import Way, quick
from penstock_plugins.pipelines.item import ItemState
from penstock_plugins.pipelines.machine_values import value_of
from penstock_plugins.pipelines.program import Instruction, Program

#: Gives the value of an expression for an item, and the result of the step where that has ended. Raises as
#: `value_of` does.
Value: TypeAlias = Callable[[ItemState, "dict[str, Any] | None"], Any]


class Values:
    """What makes the values of the instructions of one program."""

    def __init__(self, program: Program) -> None:
        #: By instruction: its own value, as the params of a call; without an expression the data itself.
        self.own = tuple(_value(one, one.value) or _data for one in program.code)
        #: By instruction: its output. None: it gives its result's data.
        self.output = tuple(_value(one, one.output) for one in program.code)


def _data(item: ItemState, result: dict[str, Any] | None) -> Any:
    return item.data


def _value(instruction: Instruction, template: CompiledTemplate | None) -> Value | None:
    if template is None:
        return None
    short = quick(template, lambda path: _way(instruction, path))

    def in_full(item: ItemState, result: dict[str, Any] | None) -> Any:
        return value_of(item, instruction, template, result)

    if short is None:
        return in_full

    def value(item: ItemState, result: dict[str, Any] | None) -> Any:
        try:
            return short(item, result)
        except (LookupError, TypeError, ValueError):
            return value_of(item, instruction, template, result)

    return value


def _way(instruction: Instruction, path: Path) -> tuple[Way, Path] | None:
    """What reads the beginning of a path from an item, and the rest of the path. None: nothing does."""
    root, rest = path[0], path[1:]
    if root == "data":
        return (lambda item, result: item.data), rest
    if root == "input":
        return (lambda item, result: item.frames[-1][0]), rest
    if root == "item":
        return (lambda item, result: item.frames[0][0]), rest
    if root == "index":
        return (lambda item, result: item.index), rest
    if root == "result":
        return _result, rest
    if root == "results" and rest and isinstance(rest[0], int) and rest[0] < len(instruction.names.results):
        slot = instruction.names.results[rest[0]]
        return (lambda item, result: item.slots.get(slot)), rest[1:]
    if root == "steps" and rest and rest[0] in instruction.names.steps:
        slot = instruction.names.steps[str(rest[0])]
        return (lambda item, result: item.slots[slot]), rest[1:]
    return None


def _result(item: ItemState, result: dict[str, Any] | None) -> Any:
    if result is None:
        raise LookupError("the step has not ended")
    return result
