"""How steps end: what they give, what undoes them, whether the frame ends here, and where a failure goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from penstock_plugins.errors import ToolError
from penstock_plugins.pipelines.item import ItemState, ItemStatus, UndoCall, ms_inside
from penstock_plugins.pipelines.machine_failing import Failing
from penstock_plugins.pipelines.machine_quick import Values
from penstock_plugins.pipelines.machine_values import value_of
from penstock_plugins.pipelines.program import Instruction, Op, Program
from penstock_plugins.pipelines.trace import Trace, entry_of, failed
from penstock_plugins.result import ToolFailure

#: Is told of each step that an item goes on from, by the step's path. True: the item ends there.
Look: TypeAlias = Callable[[ItemState, str], bool]


class Endings:
    """Ends the steps of one program."""

    def __init__(self, program: Program, look: Look | None, now: Callable[[], float], values: Values) -> None:
        self._now = now
        self._output = values.output
        self._kept = program.kept
        self._code = program.code
        self._look = look
        self._failing = Failing(program, now)
        #: By instruction: whether nothing comes of its success but its result, which the item carries on.
        self.plain = [
            look is None
            and one.op is not Op.DONE
            and all(what is None for what in (one.undo_params, one.stop_when, values.output[one.at]))
            for one in program.code
        ]

    def ended(
        self,
        item: ItemState,
        instruction: Instruction,
        entry: dict[str, Any] | None,
        result: dict[str, Any],
        failure: ToolFailure | None,
        trace: Trace,
    ) -> None:
        """A step has ended: its output, what undoes it, its result, whether the frame ends here.

        All of it counts, or nothing: when an expression has no value then, the step has failed, and left
        nothing behind but what undoes it, as what it did was done.
        """
        if entry is not None:
            trace.append(entry)
        if failure is not None and not instruction.continue_on_error:
            self.fail(item, instruction, failure, trace)
            return
        before = item.data
        try:
            if failure is None:
                if instruction.undo_params is not None:
                    self._remember_undo(item, instruction, result)
                output = self._output[instruction.at]
                item.data = result["data"] if output is None else output(item, result)
            elif instruction.has_default:
                item.data = value_of(item, instruction, instruction.default, result)
                result = {**result, "data": item.data}
            stop = instruction.stop_when
            stops = stop is not None and value_of(item, instruction, stop, result)
        except ToolError as error:
            item.data = before
            self._failed_at_its_end(item, instruction, entry, ToolFailure.from_exception(error), trace)
            return
        self.keep(item, instruction, result)
        item.pc = instruction.frame_end if stops else instruction.at + 1
        if instruction.op is Op.DONE:
            item.came_out_of += (instruction.path,)
        ends = self._look is not None and self._look(item, instruction.path)
        if stops or ends:
            item.came_out_of += self._around(instruction, len(self._code) if ends else instruction.frame_end)
        if ends:
            self._leave_composites(item, instruction, trace, result={"success": True, "data": item.data})
            item.status = ItemStatus.DONE

    def filtered(
        self, item: ItemState, instruction: Instruction, entry: dict[str, Any], trace: Trace
    ) -> None:
        """A filter takes the item out, of the composites that it is in as well."""
        trace.append(entry)
        self._leave_composites(item, instruction, trace, passed=False)
        item.status, item.data = ItemStatus.FILTERED, None

    def fail(self, item: ItemState, instruction: Instruction, failure: ToolFailure, trace: Trace) -> None:
        """Go on where the failure is taken; else the item fails, and stays where that happened."""
        pc, data, frames = item.pc, item.data, list(item.frames)
        taken = self._failing.take(item, instruction, failure, trace)
        if taken is not None:
            leave, failure = taken
            result = failed(failure)
            took_ms = ms_inside(frames[leave.depth + 1], self._now())
            self.ended(item, leave, entry_of(leave, took_ms, result=result), result, failure, trace)
        if item.failure is not None:
            item.pc, item.data, item.frames = pc, data, frames

    def keep(self, item: ItemState, instruction: Instruction, result: dict[str, Any] | None) -> None:
        """Keep the result of a step, where some expression reads it. None: it was skipped."""
        if instruction.slot in self._kept:
            item.slots[instruction.slot] = result

    def _around(self, instruction: Instruction, end: int) -> tuple[str, ...]:
        """Branches and handlers around a step, up to an instruction: an item that goes there leaves them."""
        following = self._code[instruction.at + 1 : end]
        return tuple(one.path for one in following if one.op is Op.DONE and one.enter < instruction.at)

    def _leave_composites(
        self, item: ItemState, instruction: Instruction, trace: Trace, **said: object
    ) -> None:
        """Say in the trace that the composites around a step have ended for an item, which ends there."""
        scope = instruction.scope
        while scope is not None:
            taker = self._code[scope.at]
            if taker.op is Op.LEAVE:
                trace.append(entry_of(taker, ms_inside(item.frames[scope.depth + 1], self._now()), **said))
            scope = scope.outer

    def _failed_at_its_end(
        self,
        item: ItemState,
        instruction: Instruction,
        entry: dict[str, Any] | None,
        failure: ToolFailure,
        trace: Trace,
    ) -> None:
        """An expression that says what comes of a step has no value. No `continue_on_error` takes that."""
        if entry is None:
            trace.append(entry_of(instruction, 0.0, result=failed(failure)))
        else:
            entry["result"] = {**entry.get("result", {}), **failed(failure)}
        self.fail(item, instruction, failure, trace)

    @staticmethod
    def _remember_undo(item: ItemState, instruction: Instruction, result: dict[str, Any]) -> None:
        try:
            made = value_of(item, instruction, instruction.undo_params, result)
        except ToolError as error:
            item.not_undone.append({"step": instruction.path, "message": error.message})
            raise
        item.undo.append(UndoCall(tool=instruction.undo_tool, params=made, step=instruction.path))
