"""Traces: what happened to an item, an entry for each step that it came to (L-2)."""

from __future__ import annotations

from typing import Any

from penstock_plugins.pipelines.program import Instruction
from penstock_plugins.result import ToolFailure

#: Entries `{type, step, name?, tool?, params?, passed?, taken?, skipped?, result?, duration_ms}`, in order.
Trace = list[dict[str, Any]]


def entry_of(instruction: Instruction, duration_ms: float, /, **fields: Any) -> dict[str, Any]:
    """An entry about the step that an instruction belongs to."""
    entry: dict[str, Any] = {"type": instruction.kind, "step": instruction.path}
    if instruction.name:
        entry["name"] = instruction.name
    if instruction.tool_name:
        entry["tool"] = instruction.tool_name
    entry.update(fields)
    entry["duration_ms"] = round(duration_ms, 3)
    return entry


def failed(failure: ToolFailure) -> dict[str, Any]:
    """The result of a step that failed, as expressions and traces have it."""
    return {"success": False, "error": failure.to_dict()}
