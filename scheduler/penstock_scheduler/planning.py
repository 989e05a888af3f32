"""Makes the plan of a run: all is checked, each tool pinned to the bundle that its name means now. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock_broker_config.ledger import FlowStep
from penstock_plugins.composites import find_in
from penstock_plugins.errors import InvalidPipelineError
from penstock_plugins.index import ResolvedTool, ToolIndex
from penstock_plugins.pipelines.check import check
from penstock_plugins.pipelines.compiler import compile_plan
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan, PlannedTool
from penstock_plugins.pipelines.program import Op, Program
from penstock_plugins.pipelines.stages import Stage, StageKind, stages_of
from penstock_plugins.pipelines.traits import tool_names

#: Where a chain that is sent ends: what comes behind is not known before.
_UNFORESEEN = frozenset({StageKind.ROUTE, StageKind.FAN})

#: What does a step's own work.
_STEPS = frozenset({Op.CALL, Op.TRANSFORM, Op.FILTER, Op.BRANCH, Op.FAN, Op.GATHER})

#: Where a path goes into steps that only some items come to.
_PERHAPS = re.compile(r"\.(?:if_true|if_false|catch)\[")

#: The queue of a tool's calls, from the worker pool that its plugin asks for.
ChooseQueue = Callable[[str | None], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and what is worked out of it once for all chunks."""

    plan: Plan
    digest: str
    programs: tuple[Program, ...]
    #: Of the run's own program.
    stages: tuple[Stage, ...]

    def steps_from(self, number: int) -> list[FlowStep]:
        """The stages from that one on, as far as they can be foreseen."""
        steps = []
        for stage in self.stages[number:]:
            steps.append(FlowStep(stage=stage.name, queue=stage.queue, label=stage.label))
            if stage.kind in _UNFORESEEN:
                break
        return steps

    def paths_at(self, program: int, stage: str) -> frozenset[str]:
        """Where the steps of a stage are in what was written. Empty: it is none of these, as when undoing.

        Of several in one task, those that need not run stand for the branch or catch that they are in.
        """
        if not stage.isdigit() or program >= len(self.programs):
            return frozenset()
        code = self.programs[program].code
        stages = self.stages if program == 0 else stages_of(self.plan, self.programs[program])
        found = [code[one.first : one.last + 1] for one in stages if one.name == stage]
        paths = frozenset(step.path for steps in found for step in steps if step.op in _STEPS)
        return paths if len(paths) == 1 else frozenset(_PERHAPS.split(path)[0] for path in paths)


def make_plan(
    pipeline: Pipeline,
    index: ToolIndex,
    choose_queue: ChooseQueue,
    *,
    composite: str = "",
    fuse: bool = True,
    context: Mapping[str, Any] | None = None,
) -> Planned:
    """Check a pipeline and pin what it names.

    Args:
        pipeline: as it was written, or of a composite tool.
        index: the tools that there are.
        choose_queue: says where the calls of a tool go.
        composite: the composite's full name.
        fuse: whether pure steps that follow each other run in one task.
        context: session and request of the run.

    Raises:
        InvalidPipelineError: it cannot run; has every problem, each with its step.
        LoopLimitError: composites are too deep inside each other, or one inside of itself.
    """
    problems = check(pipeline, find_in(index))
    if problems:
        raise InvalidPipelineError(problems, composite or pipeline.name)
    pinned = _Pinning(index, choose_queue)
    pinned.add(pipeline)
    plan = Plan(
        pipeline=pipeline,
        tools=tuple(pinned.tools),
        composites=pinned.composites,
        names=pinned.names,
        queue=choose_queue(None),
        fuse=fuse,
        composite=composite,
        context=dict(context or {}),
    )
    return planned(plan)


def planned(plan: Plan) -> Planned:
    """What is worked out of a plan.

    Raises:
        LoopLimitError: as `make_plan`.
    """
    programs = compile_plan(plan)
    return Planned(plan=plan, digest=plan.digest, programs=programs, stages=stages_of(plan, programs[0]))


class _Pinning:
    """Collects what the names in a pipeline mean, and in the composites that it calls."""

    def __init__(self, index: ToolIndex, choose_queue: ChooseQueue) -> None:
        self._index = index
        self._find = find_in(index)
        self._choose_queue = choose_queue
        self._numbers: dict[tuple[str, str], int] = {}
        self._composite_names: dict[tuple[str, str], str] = {}
        self.tools: list[PlannedTool] = []
        self.composites: dict[str, Pipeline] = {}
        self.names: dict[str, int | str] = {}

    def add(self, pipeline: Pipeline) -> None:
        waiting = [pipeline]
        while waiting:
            for name in tool_names(waiting.pop()):
                if name in self.names:
                    continue
                resolved = self._index.resolve(name)
                meaning = self._find(name)
                if not isinstance(meaning, Pipeline):
                    self.names[name] = self._number(resolved)
                    continue
                self.names[name] = called = self._called(resolved)
                if called not in self.composites:
                    self._check(called, meaning)
                    self.composites[called] = meaning
                    waiting.append(meaning)

    def _check(self, name: str, pipeline: Pipeline) -> None:
        # What it calls may have changed since it was published.
        if problems := check(pipeline, self._find):
            raise InvalidPipelineError(problems, name)

    def _number(self, resolved: ResolvedTool) -> int:
        tool = resolved.tool
        key = (resolved.digest, tool.name)
        if key not in self._numbers:
            self._numbers[key] = len(self.tools)
            traits = tool.traits
            risks = traits.writes_files or traits.executes_commands or traits.accesses_network
            self.tools.append(
                PlannedTool(
                    name=tool.full_name,
                    digest=resolved.digest,
                    version=tool.version,
                    once=traits.once_only,
                    # What is tried again waits in the queue for it, so it is a call of its own.
                    pure=traits.idempotent and not risks and not traits.retryable,
                    queue=self._choose_queue(resolved.record.manifest.wasm.pool),
                    delivery=tool.delivery,
                )
            )
        return self._numbers[key]

    def _called(self, resolved: ResolvedTool) -> str:
        """A composite's full name; with its version where another version of it is called as well."""
        key, tool = (resolved.digest, resolved.tool.name), resolved.tool
        if key not in self._composite_names:
            name = tool.full_name
            if name in self._composite_names.values():
                name = f"{tool.plugin}@{tool.version}.{tool.name}"
            self._composite_names[key] = name
        return self._composite_names[key]
