"""What the members of a fan-out give together: a list, or a table by the names of branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.nesting import MAX_NESTING, nests_too_deep
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.program import Instruction
from penstock_plugins.result import ToolFailure


def gathered(instruction: Instruction, members: Sequence[ItemState]) -> tuple[Any, ToolFailure | None]:
    """The data of a fan-out whose members have ended, or why it failed."""
    failure = _of_first(instruction, members)
    if failure is not None:
        return None, failure
    data: Any
    if instruction.branches:
        data = {
            name: None if member.status is ItemStatus.FILTERED else member.data
            for name, member in zip(instruction.branches, members, strict=True)
        }
    else:
        data = [member.data for member in members if member.status is not ItemStatus.FILTERED]
    if nests_too_deep(data):
        too_deep = f"what its members gave is nested more than {MAX_NESTING} levels deep"
        return None, ToolFailure(code=ErrorCode.PIPELINE_ERROR, message=too_deep)
    return data, None


def _of_first(instruction: Instruction, members: Sequence[ItemState]) -> ToolFailure | None:
    """Why a fan-out failed: the first of its members that did. None: none did."""
    for number, member in enumerate(members):
        if member.failure is not None:
            failure = member.failure
            which = instruction.branches[number] if instruction.branches else f"element {number}"
            return ToolFailure(
                code=failure.code,
                message=f"{which}: {failure.message}",
                details={**(failure.details or {}), "member": which},
            )
    return None
