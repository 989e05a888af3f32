"""How what an item's steps did is undone, the last one first (L-2)."""

from __future__ import annotations

from typing import Any

from penstock_plugins.pipelines.item import ItemState, ItemStatus, UndoCall
from penstock_plugins.pipelines.trace import Trace, failed
from penstock_plugins.result import ToolFailure


def next_undo(item: ItemState) -> UndoCall | None:
    """The call that undoes the last step that is not undone yet. None: there is none, the item has failed."""
    if item.status is ItemStatus.UNDOING and not item.undo:
        undoing_ended(item)
    return item.undo[-1] if item.status is ItemStatus.UNDOING else None


def undo_ended(
    item: ItemState,
    *,
    data: Any,
    failure: ToolFailure | None,
    tool: str,
    duration_ms: float,
    trace: Trace,
) -> None:
    """The call that `next_undo` named has ended."""
    call = item.undo.pop()
    trace.append(
        {
            "type": "compensate",
            "step": call.step,
            "tool": tool,
            "params": call.params,
            "result": {"success": True, "data": data} if failure is None else failed(failure),
            "duration_ms": duration_ms,
        }
    )
    if failure is None:
        item.undone.append(call.step)
    else:
        item.not_undone.append({"step": call.step, "message": failure.message})
    if not item.undo:
        undoing_ended(item)


def undoing_ended(item: ItemState) -> None:
    """Nothing is left to be undone: the item has failed, and says what became of its steps."""
    item.status = ItemStatus.FAILED
    failure = item.failure
    if failure is None:
        return
    details = {**(failure.details or {}), "undone": item.undone, "not_undone": item.not_undone}
    item.failure = ToolFailure(code=failure.code, message=failure.message, details=details)
