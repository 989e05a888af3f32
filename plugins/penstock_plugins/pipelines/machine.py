"""Takes items through a program (L-1 to L-4). Pure: what a call gives is told, and the clock is an argument.

The machine moves one item as far as it goes without a call. Then it stands at an instruction that asks for
one (`CALL`), for members (`FAN`) or for what members gave (`GATHER`); it is told, and goes on. Between any
two of these the item may travel as JSON. Whatever happens is added to the trace that it is handed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from penstock_plugins.errors import ToolError
from penstock_plugins.pipelines.item import ItemState, ItemStatus, ms_inside
from penstock_plugins.pipelines.machine_ending import Endings, Look
from penstock_plugins.pipelines.machine_gathering import gathered
from penstock_plugins.pipelines.machine_quick import Values
from penstock_plugins.pipelines.machine_values import no_object, value_of
from penstock_plugins.pipelines.program import Instruction, Op, Program
from penstock_plugins.pipelines.trace import Trace, entry_of, failed, head_of
from penstock_plugins.result import ToolFailure, rounded_ms

#: Run at once wherever an item comes to them: they cost nothing.
_CONTROL = frozenset({Op.JUMP, Op.DONE, Op.CATCH, Op.ENTER, Op.LEAVE, Op.END})
_WAITING = frozenset({Op.CALL, Op.FAN, Op.GATHER})

#: An item whose call has ended, its trace, params and data, why it failed if it did, and how many
#: milliseconds it took.
CallEnd: TypeAlias = tuple[ItemState, Trace, "dict[str, Any]", Any, "ToolFailure | None", float]


class Machine:
    """Runs items of one program.

    Args:
        program: it.
        clock: seconds; for the durations of steps that are no calls.
        look: what is told of each step's end, and may end an item there, successfully.
        now: seconds since 1970; for the durations of composites, which may take several tasks.
    """

    def __init__(
        self,
        program: Program,
        *,
        clock: Callable[[], float] = time.perf_counter,
        look: Look | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.program = program
        self._code = program.code
        self._clock = clock
        self._now = now
        self._values = values = Values(program)
        self._endings = Endings(program, look, now, values)
        #: Of each instruction: what its trace entries begin with, and whether items ask for something there.
        self._heads = [head_of(instruction) for instruction in program.code]
        self._asks = [
            one.op is Op.GATHER or (one.op in _WAITING and one.when is None) for one in program.code
        ]

    def advance(self, item: ItemState, last: int, trace: Trace) -> Instruction | None:
        """Move an item on. The instruction that it stands at and that asks for something from outside; None
        when it has come past `last`, or to its end.
        """
        while item.status is ItemStatus.RUNNING:
            instruction = self._code[item.pc]
            if self._asks[item.pc] and item.pc <= last:
                return instruction
            op = instruction.op
            if item.pc > last and op not in _CONTROL:
                return None
            if op in _WAITING:
                if not self._is_skipped(item, instruction, trace):
                    return instruction
                continue
            self._step(item, instruction, trace)
        return None

    def params(self, item: ItemState, trace: Trace) -> Any:
        """The params of the call that an item stands at.

        None: they cannot be made, and the item has moved on.
        """
        try:
            params = self._values.own[item.pc](item, None)
            if isinstance(params, dict):
                return params
            raise no_object(self._code[item.pc])
        except ToolError as error:
            failure = ToolFailure.from_exception(error)
        self.call_ended(item, params=None, data=None, failure=failure, duration_ms=0.0, trace=trace)
        return None

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
        at = item.pc
        result = {"success": True, "data": data} if failure is None else failed(failure)
        entry = self._entry_of_call(at, result, params, duration_ms)
        self._endings.ended(item, self._code[at], entry, result, failure, trace)

    def calls_ended(self, at: int, ends: Iterable[CallEnd]) -> None:
        """`call_ended` for items that all stand at the same call; of most of them nothing comes but data."""
        is_plain, keep = self._endings.plain[at], self._endings.keep
        instruction = self._code[at]
        for item, trace, params, data, failure, duration_ms in ends:
            if failure is not None or not is_plain:
                self.call_ended(
                    item, params=params, data=data, failure=failure, duration_ms=duration_ms, trace=trace
                )
                continue
            result = {"success": True, "data": data}
            trace.append(self._entry_of_call(at, result, params, duration_ms))
            item.data, item.pc = data, at + 1
            keep(item, instruction, result)

    def _entry_of_call(
        self, at: int, result: dict[str, Any], params: Any, duration_ms: float
    ) -> dict[str, Any]:
        entry = self._heads[at].copy()
        entry["result"] = result
        entry["duration_ms"] = rounded_ms(duration_ms)
        if params is not None:
            entry["params"] = params
        return entry

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
                elements = value_of(item, instruction, instruction.elements)
            except ToolError as error:
                self._has_no_value(item, instruction, ToolFailure.from_exception(error), trace, began)
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
            members: as they ended, in the order in which `members` made them, with their `traces`.
            duration_ms: from the first member's beginning to the last one's end.
        """
        instruction = self._code[item.pc]
        for member in members:
            item.undo += member.undo
            item.not_undone += member.not_undone
        data, failure = gathered(instruction, members)
        result = {"success": True, "data": data} if failure is None else failed(failure)
        entry = entry_of(instruction, duration_ms, result=result)
        if instruction.branches:
            entry["branches"] = dict(zip(instruction.branches, traces, strict=True))
        else:
            entry["members"] = list(traces)
        self._endings.ended(item, instruction, entry, result, failure, trace)

    def fail(self, item: ItemState, failure: ToolFailure, trace: Trace) -> None:
        """The step that an item stands at failed, for a reason that has nothing to do with it."""
        instruction = self._code[item.pc]
        trace.append(entry_of(instruction, 0.0, result=failed(failure)))
        self._endings.fail(item, instruction, failure, trace)

    def _step(self, item: ItemState, instruction: Instruction, trace: Trace) -> None:
        op = instruction.op
        if op is Op.JUMP:
            item.pc = instruction.to
        elif op is Op.END:
            item.status = ItemStatus.DONE
        elif op is Op.CATCH:  # nothing failed
            trace.append(entry_of(instruction, 0.0, skipped=True))
            self._endings.keep(item, self._code[instruction.to - 1], None)
            item.pc = instruction.to
        elif op is Op.DONE:
            self._endings.ended(item, instruction, None, {"success": True, "data": item.data}, None, trace)
        elif op is Op.LEAVE:
            self._leave(item, instruction, trace)
        elif not self._is_skipped(item, instruction, trace):
            began = self._clock()
            try:
                self._evaluate(item, instruction, trace, began)
            except ToolError as error:
                self._has_no_value(item, instruction, ToolFailure.from_exception(error), trace, began)

    def _evaluate(self, item: ItemState, instruction: Instruction, trace: Trace, began: float) -> None:
        """Do what the step's own expression says.

        Raises:
            ToolError: it has no value; nothing has changed.
        """
        op = instruction.op
        if op is Op.ENTER:
            given = self._values.own[item.pc](item, None)
            if instruction.schema is not None:
                instruction.schema.check(given)
            item.frames.append([given, item.data, round(self._now(), 6)])
            item.data = given
            item.pc += 1
            return
        if op is Op.TRANSFORM:
            result = {"success": True, "data": self._values.own[item.pc](item, None)}
            entry = entry_of(instruction, self._ms_since(began), result=result)
            self._endings.ended(item, instruction, entry, result, None, trace)
            return
        holds = value_of(item, instruction, instruction.condition)
        if op is Op.BRANCH:
            taken = "if_true" if holds else "if_false"
            trace.append(entry_of(instruction, self._ms_since(began), taken=taken))
            item.pc = item.pc + 1 if holds else instruction.to
            return
        entry = entry_of(instruction, self._ms_since(began), passed=holds)
        if holds:
            self._endings.ended(item, instruction, entry, {"success": True, "data": item.data}, None, trace)
        else:
            self._endings.filtered(item, instruction, entry, trace)

    def _leave(self, item: ItemState, instruction: Instruction, trace: Trace) -> None:
        frame, inner = item.frames.pop(), item.data
        item.data = frame[1]
        result = {"success": True, "data": inner}
        entry = entry_of(instruction, ms_inside(frame, self._now()), result=result)
        self._endings.ended(item, instruction, entry, result, None, trace)
        if item.failure is not None:  # it may go on here, later
            item.frames.append(frame)
            item.data = inner

    def _is_skipped(self, item: ItemState, instruction: Instruction, trace: Trace) -> bool:
        """Whether a step's `when` is false; or could not be evaluated, and the item has moved on."""
        when = instruction.when
        if when is None:
            return False
        began = self._clock()
        try:
            if value_of(item, instruction, when):
                return False
        except ToolError as error:
            failure = ToolFailure.from_exception(error)
            trace.append(entry_of(instruction, self._ms_since(began), result=failed(failure)))
            self._endings.fail(item, instruction, failure, trace)
            return True
        trace.append(entry_of(instruction, self._ms_since(began), skipped=True))
        end = self.program.last_of(instruction)
        self._endings.keep(item, end, None)
        item.pc = end.at + 1
        return True

    def _has_no_value(
        self, item: ItemState, instruction: Instruction, failure: ToolFailure, trace: Trace, began: float
    ) -> None:
        """The step's own expression has no value."""
        result = failed(failure)
        entry = entry_of(instruction, self._ms_since(began), result=result)
        # A composite whose params cannot be made is a step that failed, like any other.
        end = self.program.last_of(instruction) if instruction.op is Op.ENTER else instruction
        self._endings.ended(item, end, entry, result, failure, trace)

    def _ms_since(self, began: float) -> float:
        return 1000.0 * (self._clock() - began)
