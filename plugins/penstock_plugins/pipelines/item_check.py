"""Whether an item that was read can be where it says: what is stored may be damaged."""

from __future__ import annotations

from penstock_plugins.errors import EnvelopeError
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.program import Op, Program


def check_item(item: ItemState, program: Program, tools: int) -> None:
    """Refuse an item that cannot be in a program.

    Args:
        item: as it was read.
        program: that it is said to be in.
        tools: how many the plan has.

    Raises:
        EnvelopeError: it cannot.
    """
    if item.pc >= len(program.code):
        raise EnvelopeError(f"An item is at instruction {item.pc} of a program of {len(program.code)}")
    if any(undo.tool >= tools for undo in item.undo):
        raise EnvelopeError("An item is to be undone by a tool that its plan does not have")
    at = program.code[item.pc]
    frames = at.depth + (2 if at.op is Op.LEAVE else 1)
    if item.status is ItemStatus.RUNNING and len(item.frames) != frames:
        raise EnvelopeError(f"An item has {len(item.frames)} frames where its program has {frames}")
