"""Plans of runs, compiled: once in a process for all runs of the same pipeline."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property

import redis

from penstock_broker_config.ledger import FlowStep
from penstock_broker_config.waiting import WaitingRoom
from penstock_plugins.errors import EnvelopeError
from penstock_plugins.pipelines.compiler import compile_plan
from penstock_plugins.pipelines.machine import Machine
from penstock_plugins.pipelines.plan import Plan
from penstock_plugins.pipelines.program import Op, Program
from penstock_plugins.pipelines.stages import Stage, StageKind, stages_of
from penstock_workers.bench import Bench
from penstock_workers.patience import patiently

#: Runs and pipelines that a process remembers.
_RUNS, _PLANS = 256, 32


class CompiledProgram:
    """A program with its stages, ready to take items through."""

    def __init__(self, plan: Plan, program: Program) -> None:
        self.program = program
        self.machine = Machine(program)
        self.stages = stages_of(plan, program)
        self.steps = tuple(
            FlowStep(stage=stage.name, queue=stage.queue, label=stage.label) for stage in self.stages
        )

    @property
    def foreseen_first(self) -> tuple[FlowStep, ...]:
        """The stages to which items go first."""
        return self.foreseen(self.stages[0])

    def foreseen(self, stage: Stage) -> tuple[FlowStep, ...]:
        """A stage and those that follow it, up to where it shows which way items go."""
        for later in self.stages[stage.number :]:
            if later.kind in {StageKind.ROUTE, StageKind.FAN}:
                return self.steps[stage.number : later.number + 1]
        return self.steps[stage.number :]


@dataclass(frozen=True)
class CompiledPlan:
    """All programs of a plan, and how the calls of its tools wait."""

    plan: Plan
    programs: tuple[CompiledProgram, ...]

    @cached_property
    def rooms(self) -> tuple[WaitingRoom, ...]:
        """Where the calls of each tool wait, by the tools' numbers."""
        return tuple(
            WaitingRoom(batching=tool.delivery.batching, rules=tool.delivery.limits)
            for tool in self.plan.tools
        )

    @cached_property
    def inline_tools(self) -> tuple[str, ...]:
        """Tools that some stage calls without asking any limit."""
        return tuple(
            {
                self.plan.tools[instruction.tool].name
                for one in self.programs
                for stage in one.stages
                if stage.kind is StageKind.INLINE
                for instruction in one.program.code[stage.first : stage.last + 1]
                if instruction.op is Op.CALL
            }
        )


def compile_all(raw: bytes) -> CompiledPlan:
    """The plan that `Plan.to_json` wrote, compiled.

    Raises:
        EnvelopeError: it is none, or of another version.
        InvalidPipelineError, LoopLimitError: it cannot be run.
    """
    return compiled_from(Plan.from_json(raw))


def compiled_from(plan: Plan) -> CompiledPlan:
    """A plan, compiled. Raises as `compile_all`."""
    return CompiledPlan(plan, tuple(CompiledProgram(plan, program) for program in compile_plan(plan)))


class Plans:
    """The plans of the runs that this process has met lately."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._by_run: OrderedDict[str, CompiledPlan] = OrderedDict()
        self._by_plan: OrderedDict[str, CompiledPlan] = OrderedDict()

    def of(self, run: str) -> CompiledPlan:
        """The plan of a run.

        Raises:
            EnvelopeError: it is gone, damaged, or not signed as it must be. Or there is no such run.
            InvalidPipelineError, LoopLimitError: it cannot be used.
        """
        known = self._by_run.get(run)
        if known is not None:
            self._by_run.move_to_end(run)
            return known
        try:
            sealed = patiently(lambda: self._bench.ledger.plan(run))
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            sealed = None
        if sealed is None:
            raise EnvelopeError("The plan of the run is gone")
        raw = self._bench.signer.unseal(run, sealed)
        plan = Plan.from_json(raw)
        # Runs of the same pipeline differ in their session and request only.
        known = self._by_plan.get(plan.digest)
        if known is None:
            compiled = self._by_plan[plan.digest] = compiled_from(plan)
            _trim(self._by_plan, _PLANS)
        else:
            compiled = replace(known, plan=plan)
        self._by_run[run] = compiled
        _trim(self._by_run, _RUNS)
        return compiled


def _trim(cache: OrderedDict[str, CompiledPlan], size: int) -> None:
    while len(cache) > size:
        cache.popitem(last=False)
