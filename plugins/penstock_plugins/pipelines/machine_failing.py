"""Where the failure of a step goes: to a catch, to a composite that goes on in spite of it, or to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ToolError
from penstock_plugins.pipelines.item import ItemState, ItemStatus, ms_inside
from penstock_plugins.pipelines.machine_undoing import undoing_ended
from penstock_plugins.pipelines.machine_values import value_of
from penstock_plugins.pipelines.program import Instruction, Op, Program, Scope
from penstock_plugins.pipelines.trace import Trace, entry_of, failed
from penstock_plugins.result import ToolFailure


class Failing:
    """Takes the failures of one program's steps outwards."""

    def __init__(self, program: Program, now: Callable[[], float]) -> None:
        self._now = now
        self._program = program
        self._code = program.code

    def take(
        self, item: ItemState, instruction: Instruction, failure: ToolFailure, trace: Trace
    ) -> tuple[Instruction, ToolFailure] | None:
        """Have an item go on where the failure of an instruction is taken; else the item has failed.

        Returns:
            The LEAVE of a composite that takes it, and the composite's own failure: it has ended with that.
        """
        at, scope = instruction, instruction.scope
        while scope is not None:
            taker = self._code[scope.at]
            if taker.op is Op.LEAVE:
                failure = _of_composite(item, at, taker.inner_slots, failure)
                if taker.continue_on_error:
                    _leave_to(item, scope)
                    return taker, failure
                took_ms = ms_inside(item.frames[scope.depth + 1], self._now())
                trace.append(entry_of(taker, took_ms, result=failed(failure)))
                at = taker
            elif self._is_caught(item, taker, scope, at, failure, trace):
                return None
            scope = scope.outer
        self._fail_for_good(item, instruction, at, failure)
        return None

    def _fail_for_good(
        self, item: ItemState, instruction: Instruction, at: Instruction, failure: ToolFailure
    ) -> None:
        program = self._program
        if program.is_composite:
            failure = _of_composite(item, at, program.own_slots, failure)
        item.failure = _named(instruction, at, failure, composite=program.is_composite)
        item.status = ItemStatus.UNDOING if item.undo and program.number == 0 else ItemStatus.FAILED
        if item.status is ItemStatus.FAILED and program.number == 0 and item.not_undone:
            undoing_ended(item)

    def _is_caught(
        self,
        item: ItemState,
        taker: Instruction,
        scope: Scope,
        at: Instruction,
        failure: ToolFailure,
        trace: Trace,
    ) -> bool:
        error = {**failure.to_dict(), "step": at.path}
        before = item.errors.get(taker.at)
        item.errors[taker.at] = error
        if taker.when is not None and not _is_wanted(item, taker, scope):
            if before is None:
                del item.errors[taker.at]
            else:
                item.errors[taker.at] = before
            trace.append(entry_of(taker, 0.0, skipped=True))
            return False
        _leave_to(item, scope)
        trace.append(entry_of(taker, 0.0, taken=True, error=error))
        item.pc = taker.at + 1
        return True


def _is_wanted(item: ItemState, taker: Instruction, scope: Scope) -> bool:
    """Whether a catch's `when` holds, which looks at the item as the handler would find it."""
    seen = ItemState(
        data=_data_at(item, scope),
        frames=item.frames[: scope.depth + 1],
        slots=item.slots,
        errors=item.errors,
        index=item.index,
    )
    try:
        return bool(value_of(seen, taker, taker.when))
    except ToolError:
        return False


def _leave_to(item: ItemState, scope: Scope) -> None:
    """Leave the composites inside of a scope."""
    item.data = _data_at(item, scope)
    del item.frames[scope.depth + 1 :]


def _data_at(item: ItemState, scope: Scope) -> Any:
    """What an item carries as seen from a scope: before the composites inside of it."""
    inner = item.frames[scope.depth + 1 :]
    return inner[0][1] if inner else item.data


def _of_composite(
    item: ItemState, at: Instruction, slots: tuple[int, ...], failure: ToolFailure
) -> ToolFailure:
    """The failure of a composite, one of whose steps failed (L-1)."""
    what = at.tool_name or at.name or at.kind
    return ToolFailure(
        code=ErrorCode.COMPOSITE_STEP_FAILED,
        message=f"Step {at.number} ({what}) failed: {failure.message}",
        details={
            "results": [item.slots.get(slot) for slot in slots],
            "error": failure.to_dict(),
        },
    )


def _named(where: Instruction, at: Instruction, failure: ToolFailure, *, composite: bool) -> ToolFailure:
    """The failure of an item, with the step that it failed at."""
    message = failure.message
    if not composite and not message.startswith(at.label):
        message = f"{at.label}: {message}"
    details = failure.details or {}
    step = details.get("step") if "member" in details else None
    inside = isinstance(step, str) and step.startswith(where.path)  # the step of the member that failed
    return ToolFailure(
        code=failure.code, message=message, details={**details, "step": step if inside else where.path}
    )
