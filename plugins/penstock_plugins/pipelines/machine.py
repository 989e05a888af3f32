"""Takes items through a program (L-1 to L-4). Pure: what a call gives is told, and the clock is an argument.

The machine moves one item as far as it goes without a call. Then it stands at an instruction that asks for
one (`CALL`), for members (`FAN`) or for what members gave (`GATHER`); it is told, and goes on. Between any
two of these the item may travel as JSON. Whatever happens is added to the trace that it is handed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from penstock_plugins.errors import ErrorCode, ToolError
from penstock_plugins.pipelines.expressions import Compiled, Needs
from penstock_plugins.pipelines.item import ItemState, ItemStatus, UndoCall
from penstock_plugins.pipelines.program import Instruction, Op, Program, Scope
from penstock_plugins.result import ToolFailure

#: One entry a step, as in L-2.
Trace = list[dict[str, Any]]

#: Run at once wherever an item comes to them: they cost nothing.
_CONTROL = frozenset({Op.JUMP, Op.DONE, Op.CATCH, Op.ENTER, Op.LEAVE, Op.END})
_WAITING = frozenset({Op.CALL, Op.FAN, Op.GATHER})


class Machine:
    """Runs items of one program.

    Args:
        program: it.
        clock: seconds; for the durations of steps that are no calls.
    """

    def __init__(self, program: Program, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self.program = program
        self._code = program.code
        self._clock = clock

    def advance(self, item: ItemState, last: int, trace: Trace) -> Instruction | None:
        """Move an item on. The instruction that it stands at and that asks for something from outside; None
        when it has come past `last`, or to its end.
        """
        while item.status is ItemStatus.RUNNING:
            instruction = self._code[item.pc]
            op = instruction.op
            if item.pc > last and op not in _CONTROL:
                return None
            if op in _WAITING:
                if op is Op.GATHER or not self._is_skipped(item, instruction, trace):
                    return instruction
                continue
            began = self._clock()
            try:
                self._step(item, instruction, trace, began)
            except ToolError as error:
                self._failed_inside(item, instruction, ToolFailure.from_exception(error), trace, began)
        return None

    def _failed_inside(
        self, item: ItemState, instruction: Instruction, failure: ToolFailure, trace: Trace, began: float
    ) -> None:
        """An expression has no value."""
        trace.append(self._entry(instruction, began, result=_failed(failure)))
        # A composite whose params cannot be made is a step that failed, like any other.
        end = self._code[instruction.to - 1] if instruction.op is Op.ENTER else instruction
        if not end.continue_on_error:
            self._fail(item, instruction, failure, trace)
            return
        try:
            self._finish(item, end, _failed(failure), failure, trace)
        except ToolError as error:
            self._fail(item, end, ToolFailure.from_exception(error), trace)

    def params(self, item: ItemState, trace: Trace) -> Any:
        """The params of the call that an item stands at.

        None: they cannot be made, and the item has moved on.
        """
        instruction = self._code[item.pc]
        if instruction.value is None:
            params = item.data
        else:
            try:
                params = self._value(item, instruction, instruction.value)
            except ToolError as error:
                return self._not_called(item, ToolFailure.from_exception(error), None, trace)
        if not isinstance(params, dict):
            failure = ToolFailure(
                code=ErrorCode.VALIDATION_ERROR,
                message="the params of a tool are an object, and these are none",
            )
            return self._not_called(item, failure, None, trace)
        return params

    def _not_called(self, item: ItemState, failure: ToolFailure, params: Any, trace: Trace) -> None:
        self.call_ended(item, params=params, data=None, failure=failure, duration_ms=0.0, trace=trace)

    def call_ended(
        self,
        item: ItemState,
        *,
        params: Any,
        data: Any,
        failure: ToolFailure | None,
        duration_ms: float,
        trace: Trace,
    ) -> None:
        """The call that an item stands at has ended.

        Args:
            item: the item.
            params: what it was called with, for the trace.
            data: what it gave.
            failure: why it failed. None: it did not.
            duration_ms: how long it took.
            trace: of the item.
        """
        instruction = self._code[item.pc]
        result = {"success": True, "data": data} if failure is None else _failed(failure)
        entry = self._entry(instruction, None, result=result, duration_ms=duration_ms)
        if params is not None:
            entry["params"] = params
        trace.append(entry)
        try:
            self._finish(item, instruction, result, failure, trace)
        except ToolError as error:
            self._fail(item, instruction, ToolFailure.from_exception(error), trace)

    def members(self, item: ItemState, trace: Trace) -> list[tuple[int, Any]] | None:
        """The members of the fan-out that an item stands at: each one's program, by number, and its input.

        None: they cannot be made, and the item has moved on. The item comes to stand at what gathers them.
        """
        instruction = self._code[item.pc]
        if instruction.elements is None:
            made = [(number, item.data) for number in instruction.programs]
        else:
            began = self._clock()
            try:
                elements = self._value(item, instruction, instruction.elements)
            except ToolError as error:
                failure = ToolFailure.from_exception(error)
                trace.append(self._entry(instruction, began, result=_failed(failure)))
                self._fail(item, instruction, failure, trace)
                return None
            made = [(instruction.programs[0], element) for element in elements]
        item.pc += 1
        return made

    def gather(
        self,
        item: ItemState,
        members: Sequence[ItemState],
        traces: Sequence[Trace],
        trace: Trace,
        *,
        duration_ms: float = 0.0,
    ) -> None:
        """The members of an item have ended.

        Args:
            item: it stands at a GATHER.
            members: as they ended, in the order in which `members` made them.
            traces: what happened to each.
            trace: of the item.
            duration_ms: from the first member's beginning to the last one's end.
        """
        instruction = self._code[item.pc]
        for member in members:
            item.undo += member.undo
            item.not_undone += member.not_undone
        failure = _of_members(instruction, members)
        gathered: Any = None
        if failure is None and instruction.branches:
            gathered = {
                name: None if member.status is ItemStatus.FILTERED else member.data
                for name, member in zip(instruction.branches, members, strict=True)
            }
        elif failure is None:
            gathered = [member.data for member in members if member.status is not ItemStatus.FILTERED]
        result = {"success": True, "data": gathered} if failure is None else _failed(failure)
        entry = self._entry(instruction, None, result=result, duration_ms=duration_ms)
        if instruction.branches:
            entry["branches"] = dict(zip(instruction.branches, traces, strict=True))
        else:
            entry["members"] = list(traces)
        trace.append(entry)
        try:
            self._finish(item, instruction, result, failure, trace)
        except ToolError as error:
            self._fail(item, instruction, ToolFailure.from_exception(error), trace)

    def fail(self, item: ItemState, failure: ToolFailure, trace: Trace) -> None:
        """The step that an item stands at failed, for a reason that has nothing to do with it."""
        instruction = self._code[item.pc]
        trace.append(self._entry(instruction, None, result=_failed(failure)))
        self._fail(item, instruction, failure, trace)

    def end_early(self, item: ItemState) -> None:
        """An item ends here, successfully, with what it carries: a hook said so."""
        item.status = ItemStatus.DONE

    def next_undo(self, item: ItemState) -> UndoCall | None:
        """The call that undoes the last step that is not undone yet. None: there is none, it has failed."""
        if item.status is ItemStatus.UNDOING and not item.undo:
            self._undoing_ended(item)
        return item.undo[-1] if item.status is ItemStatus.UNDOING else None

    def undo_ended(
        self,
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
        result = {"success": True, "data": data} if failure is None else _failed(failure)
        trace.append(
            {
                "type": "compensate",
                "step": call.step,
                "tool": tool,
                "params": call.params,
                "result": result,
                "duration_ms": duration_ms,
            }
        )
        if failure is None:
            item.undone.append(call.step)
        else:
            item.not_undone.append({"step": call.step, "message": failure.message})
        if not item.undo:
            self._undoing_ended(item)

    @staticmethod
    def _undoing_ended(item: ItemState) -> None:
        item.status = ItemStatus.FAILED
        failure = item.failure
        if failure is None:
            return
        details = {**(failure.details or {}), "undone": item.undone, "not_undone": item.not_undone}
        item.failure = ToolFailure(code=failure.code, message=failure.message, details=details)

    # One instruction ----------------------------------------------------------------------------------

    def _step(self, item: ItemState, instruction: Instruction, trace: Trace, began: float) -> None:
        op = instruction.op
        if op is Op.JUMP:
            item.pc = instruction.to
        elif op is Op.END:
            item.status = ItemStatus.DONE
        elif op is Op.CATCH:  # nothing failed
            trace.append(self._entry(instruction, began, skipped=True))
            self._keep(item, self._code[instruction.to - 1], None)
            item.pc = instruction.to
        elif op is Op.DONE:
            self._finish(item, instruction, {"success": True, "data": item.data}, None, trace)
        elif op is Op.LEAVE:
            self._leave(item, instruction, trace, began)
        elif self._is_skipped(item, instruction, trace):
            return
        elif op is Op.ENTER:
            value = instruction.value
            given = item.data if value is None else self._value(item, instruction, value)
            item.frames.append([given, item.data])
            item.data = given
            item.pc += 1
        elif op is Op.TRANSFORM:
            data = self._value(item, instruction, instruction.value)
            result = {"success": True, "data": data}
            trace.append(self._entry(instruction, began, result=result))
            self._finish(item, instruction, result, None, trace)
        else:
            self._decide(item, instruction, trace, began)

    def _decide(self, item: ItemState, instruction: Instruction, trace: Trace, began: float) -> None:
        holds = self._value(item, instruction, instruction.condition)
        if instruction.op is Op.BRANCH:
            trace.append(self._entry(instruction, began, taken="if_true" if holds else "if_false"))
            item.pc = item.pc + 1 if holds else instruction.to
            return
        trace.append(self._entry(instruction, began, passed=holds))
        if holds:
            self._finish(item, instruction, {"success": True, "data": item.data}, None, trace)
        else:
            item.status, item.data = ItemStatus.FILTERED, None

    def _leave(self, item: ItemState, instruction: Instruction, trace: Trace, began: float) -> None:
        _, item_before = item.frames.pop()
        result = {"success": True, "data": item.data}
        item.data = item_before
        trace.append(self._entry(instruction, began, result=result))
        self._finish(item, instruction, result, None, trace)

    def _is_skipped(self, item: ItemState, instruction: Instruction, trace: Trace) -> bool:
        """Whether a step's `when` is false; or could not be evaluated, and the item has moved on."""
        when = instruction.when
        if when is None:
            return False
        began = self._clock()
        try:
            if self._value(item, instruction, when):
                return False
        except ToolError as error:
            failure = ToolFailure.from_exception(error)
            trace.append(self._entry(instruction, began, result=_failed(failure)))
            self._fail(item, instruction, failure, trace)
            return True
        trace.append(self._entry(instruction, began, skipped=True))
        end = self._last_of(instruction)
        self._keep(item, end, None)
        item.pc = end.at + 1
        return True

    def _last_of(self, instruction: Instruction) -> Instruction:
        """The last instruction of the step that begins with this one."""
        if instruction.op is Op.BRANCH:
            return self._code[instruction.enter]
        return self._code[instruction.to - 1]

    # How steps end ------------------------------------------------------------------------------------

    def _finish(
        self,
        item: ItemState,
        instruction: Instruction,
        result: dict[str, Any],
        failure: ToolFailure | None,
        trace: Trace,
    ) -> None:
        """A step has ended: its output, what undoes it, its result, whether the frame ends here.

        Raises:
            ToolError: an expression has no value.
        """
        if failure is not None:
            if not instruction.continue_on_error:
                self._fail(item, instruction, failure, trace)
                return
            if instruction.has_default:
                item.data = self._value(item, instruction, instruction.default, result)
                result = {**result, "data": item.data}
        else:
            if instruction.undo_params is not None:
                self._remember_undo(item, instruction, result)
            output = instruction.output
            item.data = result["data"] if output is None else self._value(item, instruction, output, result)
        self._keep(item, instruction, result)
        stop = instruction.stop_when
        if stop is not None and self._value(item, instruction, stop, result):
            item.pc = instruction.frame_end
        else:
            item.pc = instruction.at + 1

    def _remember_undo(self, item: ItemState, instruction: Instruction, result: dict[str, Any]) -> None:
        try:
            made = self._value(item, instruction, instruction.undo_params, result)
        except ToolError as error:
            item.not_undone.append({"step": instruction.path, "message": error.message})
            raise
        item.undo.append(UndoCall(tool=instruction.undo_tool, params=made, step=instruction.path))

    def _keep(self, item: ItemState, instruction: Instruction, result: dict[str, Any] | None) -> None:
        if instruction.slot in self.program.kept:
            item.slots[instruction.slot] = result

    # How items fail -----------------------------------------------------------------------------------

    def _fail(self, item: ItemState, instruction: Instruction, failure: ToolFailure, trace: Trace) -> None:
        """Go on where the failure is taken; else the item fails."""
        at, scope = instruction, instruction.scope
        while scope is not None:
            taker = self._code[scope.at]
            if taker.op is Op.LEAVE:
                failure = self._of_composite(item, at, taker.inner_slots, failure)
                if taker.continue_on_error:
                    self._out_to(item, scope)
                    trace.append(self._entry(taker, None, result=_failed(failure)))
                    try:
                        self._finish(item, taker, _failed(failure), failure, trace)
                    except ToolError as error:
                        self._fail(item, taker, ToolFailure.from_exception(error), trace)
                    return
                at = taker
            elif self._is_caught(item, taker, scope, at, failure, trace):
                return
            scope = scope.outer
        if self.program.is_composite:
            failure = self._of_composite(item, at, self.program.own_slots, failure)
        item.failure = _named(instruction, at, failure, composite=self.program.is_composite)
        item.status = ItemStatus.UNDOING if item.undo and self.program.number == 0 else ItemStatus.FAILED
        if item.status is ItemStatus.FAILED and self.program.number == 0 and item.not_undone:
            self._undoing_ended(item)

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
        if taker.when is not None:
            # `when` looks at the item as the handler would find it.
            seen = ItemState(
                data=_data_at(item, scope),
                frames=item.frames[: scope.depth + 1],
                slots=item.slots,
                errors=item.errors,
                index=item.index,
            )
            try:
                caught = self._value(seen, taker, taker.when)
            except ToolError:
                caught = False
            if not caught:
                if before is None:
                    del item.errors[taker.at]
                else:
                    item.errors[taker.at] = before
                return False
        self._out_to(item, scope)
        trace.append({**self._entry(taker, None, taken=True), "error": error})
        item.pc = taker.at + 1
        return True

    @staticmethod
    def _out_to(item: ItemState, scope: Scope) -> None:
        """Leave the composites inside of a scope."""
        item.data = _data_at(item, scope)
        del item.frames[scope.depth + 1 :]

    def _of_composite(
        self, item: ItemState, at: Instruction, slots: tuple[int, ...], failure: ToolFailure
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

    # What expressions see -----------------------------------------------------------------------------

    def _value(
        self,
        item: ItemState,
        instruction: Instruction,
        expression: Compiled | None,
        result: dict[str, Any] | None = None,
    ) -> Any:
        """The value of an expression of an instruction.

        Raises:
            ToolError: it has none.
        """
        if expression is None:
            return None
        return expression.evaluate(self._env(item, instruction, expression.needs, result))

    def _env(
        self, item: ItemState, instruction: Instruction, needs: Needs, result: dict[str, Any] | None = None
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
                    name: item.slots[slot]
                    for name, slot in instruction.names.steps.items()
                    if slot in item.slots
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

    def _entry(
        self, instruction: Instruction, began: float | None, *, duration_ms: float = 0.0, **fields: Any
    ) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": instruction.kind, "step": instruction.path}
        if instruction.name:
            entry["name"] = instruction.name
        if instruction.tool_name:
            entry["tool"] = instruction.tool_name
        entry.update(fields)
        if began is not None:
            duration_ms = 1000.0 * (self._clock() - began)
        entry["duration_ms"] = round(duration_ms, 3)
        return entry


def _failed(failure: ToolFailure) -> dict[str, Any]:
    return {"success": False, "error": failure.to_dict()}


def _data_at(item: ItemState, scope: Scope) -> Any:
    """What an item carries as seen from a scope: before the composites inside of it."""
    inner = item.frames[scope.depth + 1 :]
    return inner[0][1] if inner else item.data


def _named(failed: Instruction, at: Instruction, failure: ToolFailure, *, composite: bool) -> ToolFailure:
    """The failure of an item, with the step that it failed at."""
    message = failure.message
    if not composite and not message.startswith(at.label):
        message = f"{at.label}: {message}"
    return ToolFailure(
        code=failure.code, message=message, details={**(failure.details or {}), "step": failed.path}
    )


def _of_members(instruction: Instruction, members: Sequence[ItemState]) -> ToolFailure | None:
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
