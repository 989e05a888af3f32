"""Runs a plan in this process, without a broker: the same machine, one item after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from penstock_plugins.pipelines.compiler import compile_plan
from penstock_plugins.pipelines.hooks import NO_HOOKS, CallNote, Hooks, StepNote, careful
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.machine import Machine
from penstock_plugins.pipelines.machine_undoing import next_undo, undo_ended
from penstock_plugins.pipelines.plan import Plan, PlannedTool
from penstock_plugins.pipelines.program import Op
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.pipelines.trace_cut import cut
from penstock_plugins.result import ToolFailure

#: Calls a tool with params; gives its data, or its failure.
CallTool = Callable[[PlannedTool, Any], tuple[Any, ToolFailure | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalResult:
    """How an item ended."""

    item: ItemState
    trace: Trace

    @property
    def success(self) -> bool:
        """Whether it did not fail."""
        return self.item.failure is None

    @property
    def filtered(self) -> bool:
        """Whether a filter took it out."""
        return self.item.status is ItemStatus.FILTERED


def run_locally(
    plan: Plan,
    inputs: Iterable[Any],
    call_tool: CallTool,
    *,
    hooks: Hooks = NO_HOOKS,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[LocalResult]:
    """Run a plan over inputs, in their order."""
    local = _Local(plan, call_tool, careful(hooks), clock)
    for index, given in enumerate(inputs):
        yield local.run(0, given, index)


class _Local:
    def __init__(self, plan: Plan, call_tool: CallTool, hooks: Hooks, clock: Callable[[], float]) -> None:
        self._tools: Sequence[PlannedTool] = plan.tools
        self._call_tool = call_tool
        self._hooks = hooks
        self._clock = clock
        look = None if hooks is NO_HOOKS else self._look_in
        self._machines = [Machine(program, clock=clock, look=look) for program in compile_plan(plan)]

    def run(self, program: int, given: Any, index: int) -> LocalResult:
        machine, trace = self._machines[program], Trace()
        item = ItemState.fresh(given, reads_input=machine.program.reads_input, index=index)
        while (asks := machine.advance(item, machine.program.end, trace)) is not None:
            if asks.op is Op.FAN:
                self._fan(machine, item, trace)
                continue
            params = machine.params(item, trace)
            if params is None:
                continue
            began = self._clock()
            data, failure = self._call(self._tools[asks.tool], params)
            duration_ms = 1000.0 * (self._clock() - began)
            machine.call_ended(
                item, params=params, data=data, failure=failure, duration_ms=duration_ms, trace=trace
            )
        while (undo := next_undo(item)) is not None:
            tool = self._tools[undo.tool]
            began = self._clock()
            data, failure = self._call(tool, undo.params)
            duration_ms = 1000.0 * (self._clock() - began)
            undo_ended(item, data=data, failure=failure, tool=tool.name, duration_ms=duration_ms, trace=trace)
        return LocalResult(item=item, trace=cut(trace))

    def _call(self, tool: PlannedTool, params: Any) -> tuple[Any, ToolFailure | None]:
        data, failure = self._call_tool(tool, params)
        self._hooks.after_call(CallNote(job="local", tool=tool.name, failure=failure))
        return data, failure

    def _fan(self, machine: Machine, item: ItemState, trace: Trace) -> None:
        began = self._clock()
        members = machine.members(item, trace)
        if members is None:
            return
        ended = [self.run(program, given, number) for number, (program, given) in enumerate(members)]
        machine.gather(
            item,
            [one.item for one in ended],
            [one.trace for one in ended],
            trace,
            duration_ms=1000.0 * (self._clock() - began),
        )

    def _look_in(self, item: ItemState, step: str) -> bool:
        note = StepNote(run="local", index=item.index, step=step, data=item.data)
        self._hooks.between_steps(note)
        return self._hooks.should_end(note)
