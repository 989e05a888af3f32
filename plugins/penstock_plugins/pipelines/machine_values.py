"""What the expressions of an instruction see of an item."""

from __future__ import annotations

from typing import Any

from penstock_plugins.errors import ParamsError
from penstock_plugins.pipelines.expressions import Compiled, Needs
from penstock_plugins.pipelines.expressions_errors import MAX_SHOWN_CHARS
from penstock_plugins.pipelines.item import ItemState
from penstock_plugins.pipelines.program import Instruction
from penstock_plugins.printable import printable


def value_of(
    item: ItemState,
    instruction: Instruction,
    expression: Compiled | None,
    result: dict[str, Any] | None = None,
) -> Any:
    """The value of an expression of an instruction.

    Args:
        item: that stands there.
        instruction: whose expression it is.
        expression: None: it has none, and no value.
        result: of the step, where it has ended.

    Raises:
        ToolError: it has no value.
    """
    if expression is None:
        return None
    return expression.evaluate(_env(item, instruction, expression.needs, result))


def no_object(instruction: Instruction) -> ParamsError:
    """What the params of a call are when they are no object: a table that is written out is one."""
    written = "inherit" if instruction.value is None else str(instruction.value.value)
    shown = printable(written, MAX_SHOWN_CHARS)
    return ParamsError(
        f"{instruction.label}: params: {shown}: the params of a tool are an object, and this is none",
        {"step": instruction.label, "key": "params", "expression": shown},
    )


def _env(
    item: ItemState, instruction: Instruction, needs: Needs, result: dict[str, Any] | None
) -> dict[str, Any]:
    env: dict[str, Any] = {}
    for root in needs.roots:
        if root == "data":
            env["data"] = item.data
        elif root == "input":
            env["input"] = item.frames[-1][0]
        elif root == "results":
            env["results"] = [item.slots.get(slot) for slot in instruction.names.results]
        elif root == "steps":
            env["steps"] = {
                name: item.slots[slot] for name, slot in instruction.names.steps.items() if slot in item.slots
            }
        elif root == "result" and result is not None:
            env["result"] = result
        elif root == "error" and instruction.error_of in item.errors:
            env["error"] = item.errors[instruction.error_of]
        elif root == "item":
            env["item"] = item.frames[0][0]
        elif root == "index":
            env["index"] = item.index
    return env
