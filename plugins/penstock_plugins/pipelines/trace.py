"""Traces: what happened to an item, an entry for each step that it came to (L-2)."""

from __future__ import annotations

from typing import Any

from penstock_plugins.pipelines.program import Instruction
from penstock_plugins.result import ToolFailure, rounded_ms

#: Entries `{type, step, name?, tool?, params?, passed?, taken?, skipped?, result?, duration_ms}`, in order.
Trace = list[dict[str, Any]]


def entry_of(instruction: Instruction, duration_ms: float, /, **fields: Any) -> dict[str, Any]:
    """An entry about the step that an instruction belongs to."""
    return {**head_of(instruction), **fields, "duration_ms": rounded_ms(duration_ms)}


def head_of(instruction: Instruction) -> dict[str, Any]:
    """What all entries about a step begin with."""
    head: dict[str, Any] = {"type": instruction.kind, "step": instruction.path}
    if instruction.name:
        head["name"] = instruction.name
    if instruction.tool_name:
        head["tool"] = instruction.tool_name
    return head


def failed(failure: ToolFailure) -> dict[str, Any]:
    """The result of a step that failed, as expressions and traces have it."""
    return {"success": False, "error": failure.to_dict()}
