"""Checks a pipeline before it runs: its tools, its expressions, its names, and whether what flows can fit.

Everything that can be known without running anything is said here, all at once, each problem with its step.
What cannot be known, such as what a tool will return, is left to the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from penstock_plugins.errors import ToolNotFoundError
from penstock_plugins.pipelines.check_params import cannot_fit
from penstock_plugins.pipelines.check_scope import Frame, Scope, found_at, not_there, of_frame, with_article
from penstock_plugins.pipelines.check_shapes import (
    UNKNOWN,
    ListOf,
    Shape,
    Some,
    Table,
    either,
    element_of,
    of_schema,
    type_of,
)
from penstock_plugins.pipelines.check_template import shape_of, shape_of_reference
from penstock_plugins.pipelines.expressions import (
    Compiled,
    compile_condition,
    compile_list,
    compile_template,
)
from penstock_plugins.pipelines.model import (
    BranchStep,
    CatchStep,
    FilterStep,
    MapStep,
    ParallelStep,
    Pipeline,
    Problem,
    Step,
    StepPart,
    ToolStep,
    TransformStep,
    structure,
)
from penstock_plugins.tool import Tool

#: Problems that are reported at most.
MAX_PROBLEMS = 100
#: What a name of a tool means. None, or the error itself: there is none.
FindTool: TypeAlias = Callable[[str], Tool | Pipeline | None]
_Made = TypeVar("_Made", bound=Compiled)


def step_name(number: int, step: StepPart) -> str:
    """How messages call a step: `step 2 (fs.write)`. Numbers count from 1 in the step's sequence."""
    return f"step {number} ({step.label})"


def check(pipeline: Pipeline, find_tool: FindTool) -> list[Problem]:
    """Everything that is wrong with a pipeline, at most `MAX_PROBLEMS`.

    Args:
        pipeline: as it was written or read.
        find_tool: gives the tool or the composite that a name means; for none, None or ToolNotFoundError.
    """
    problems = list(structure(pipeline))
    if not pipeline.steps:
        problems.append(Problem(path="steps", step="", message="there must be one step at least"))
    if not problems:
        given = UNKNOWN if pipeline.parameters is None else of_schema(pipeline.parameters)
        checker = _Checker(find_tool)
        checker.sequence(pipeline.steps, "steps", Scope(input=given, data=given, frame=Frame(pipeline.steps)))
        problems = checker.problems
    return problems[:MAX_PROBLEMS]


class _Checker:
    def __init__(self, find_tool: FindTool) -> None:
        self._find_tool = find_tool
        self.problems: list[Problem] = []
        #: What each name means, asked for once.
        self._found: dict[str, Tool | Pipeline | str] = {}

    def sequence(self, steps: tuple[Step, ...], path: str, scope: Scope) -> tuple[Scope, Shape]:
        """Check the steps of one sequence.

        Returns:
            What a step behind the sequence sees, and what is known of the data there.
        """
        scope = replace(scope, results=())
        for number, step in enumerate(steps):
            at = _At(f"{path}[{number}]", number + 1, step)
            asked = _caught(scope) if isinstance(step, CatchStep) else scope
            self._condition(at, "when", step.when, asked)
            data, steps_seen = self._step(at, step, scope)
            ended = replace(scope, steps=steps_seen)
            scope = ended.after(step, data)
            seen = replace(scope, more={**asked.more, "result": scope.results[-1]})
            self._condition(at, "stop_when", step.stop_when, seen)
        return scope, scope.data

    def _step(self, at: _At, step: Step, scope: Scope) -> tuple[Shape, dict[str, Shape]]:
        """What is known of the data after a step, and the names that are there."""
        if isinstance(step, ToolStep):
            return self._tool(at, step, scope), scope.steps
        if isinstance(step, TransformStep):
            return self._template(at, "transform", step.transform, scope), scope.steps
        if isinstance(step, FilterStep):
            self._condition(at, "filter", step.filter, scope)
            return scope.data, scope.steps
        if isinstance(step, MapStep):
            return self._map(at, step, scope), scope.steps
        if isinstance(step, ParallelStep):
            return self._parallel(at, step, scope), scope.steps
        if isinstance(step, BranchStep):
            return self._branch(at, step, scope)
        return self._catch(at, step, scope)

    def _tool(self, at: _At, step: ToolStep, scope: Scope) -> Shape:
        given = scope.data if step.params == "inherit" else self._template(at, "params", step.params, scope)
        self._call(at, "params", step.tool, given)
        if isinstance(self._tool_called(step.tool), Pipeline):
            for key in ("timeout_s", "retry"):
                if getattr(step, key) is not None:
                    at.problem(self.problems, key, "it is for a call, and a composite is many: set it inside")
        data: Shape = UNKNOWN
        if step.output is not None:
            seen = replace(scope, more={**scope.more, "result": _SUCCESS})
            data = self._template(at, "output", step.output, seen)
        default = scope.data
        if step.has_default:
            seen = replace(scope, more={**scope.more, "result": _FAILURE})
            default = self._template(at, "default", step.default, seen)
        if step.continue_on_error:
            data = either(data, default)
        elif step.has_default:
            at.problem(self.problems, "default", "it has no effect without continue_on_error")
        if step.compensate is not None:
            seen = replace(scope, more={**scope.more, "result": _SUCCESS})
            undo = self._template(at, "compensate.params", step.compensate.params, seen)
            self._call(at, "compensate.params", step.compensate.tool, undo)
            if isinstance(self._tool_called(step.compensate.tool), Pipeline):
                at.problem(self.problems, "compensate.tool", "a composite undoes nothing: name a tool")
        return data

    def _branch(self, at: _At, step: BranchStep, scope: Scope) -> tuple[Shape, dict[str, Shape]]:
        self._condition(at, "branch", step.branch, scope)
        arms = [self.sequence(body, f"{at.path}.{key}", scope) for key, body in step.bodies().items()]
        seen = {name: UNKNOWN for arm, _ in arms for name in arm.steps if name not in scope.steps}
        return either(arms[0][1], arms[1][1]), {**scope.steps, **seen}

    def _catch(self, at: _At, step: CatchStep, scope: Scope) -> tuple[Shape, dict[str, Shape]]:
        if at.number == 1:
            at.problem(self.problems, "", "there is no step before it whose failure it could catch")
        handler, data = self.sequence(step.catch, f"{at.path}.catch", _caught(scope))
        seen = {name: UNKNOWN for name in handler.steps if name not in scope.steps}
        return either(scope.data, data), {**scope.steps, **seen}

    def _map(self, at: _At, step: MapStep, scope: Scope) -> Shape:
        element: Shape = UNKNOWN
        compiled = self._compiled(at, "map", lambda where: compile_list(step.map, step=where, key="map"))
        if compiled is not None:
            self._names(at, "map", compiled, scope)
            found = shape_of_reference(step.map, lambda path: found_at(path, scope))
            if type_of(found) not in {None, "array"}:
                at.problem(self.problems, "map", f"{step.map} is no list: it is {with_article(found)}")
            element = element_of(found)
        if not step.steps:
            at.problem(self.problems, "steps", "there must be one step at least")
        more = {"item": element, "index": Some("integer")}
        member = Scope(input=element, data=element, frame=Frame(step.steps), more=more)
        return ListOf(self.sequence(step.steps, f"{at.path}.steps", member)[1])

    def _parallel(self, at: _At, step: ParallelStep, scope: Scope) -> Shape:
        gathered: dict[str, Shape] = {}
        for name, body in step.parallel.items():
            member = Scope(input=scope.data, data=scope.data, frame=Frame(body))
            data = self.sequence(body, f"{at.path}.parallel.{name}", member)[1]
            filters = any(isinstance(inner, FilterStep) for inner in of_frame(body))
            gathered[name] = UNKNOWN if filters else data
        return gathered

    def _call(self, at: _At, key: str, name: str, given: Shape) -> None:
        """Whether there is such a tool, and what is given to it can fit."""
        tool = self._tool_called(name)
        if isinstance(tool, str):
            at.problem(self.problems, key.replace("params", "tool"), tool)
            return
        if tool.parameters is None:
            at.problem(self.problems, "tool", f"{name} is no tool: it is a pipeline without parameters")
            return
        for part, why in cannot_fit(given, tool.parameters):
            at.problem(self.problems, f"{key}{part}", f"{why}, says the schema of {name}")

    def _tool_called(self, name: str) -> Tool | Pipeline | str:
        if name not in self._found:
            try:
                self._found[name] = self._find_tool(name) or f"Unknown tool: {name}"
            except ToolNotFoundError as error:
                self._found[name] = error.message
        return self._found[name]

    def _condition(self, at: _At, key: str, text: str | None, scope: Scope) -> None:
        if text is None:
            return
        compiled = self._compiled(at, key, lambda where: compile_condition(text, step=where, key=key))
        if compiled is not None:
            self._names(at, key, compiled, scope)
            if why := compiled.never_holds():
                at.problem(self.problems, key, why)

    def _template(self, at: _At, key: str, value: Any, scope: Scope) -> Shape:
        compiled = self._compiled(at, key, lambda where: compile_template(value, step=where, key=key))
        if compiled is None:
            return UNKNOWN
        self._names(at, key, compiled, scope)
        return shape_of(value, lambda path: found_at(path, scope))

    def _compiled(self, at: _At, key: str, make: Callable[[str], _Made]) -> _Made | None:
        try:
            return make(at.name)
        except ValueError as error:
            at.problem(self.problems, key, str(error).removeprefix(f"{key}: "))
            return None

    def _names(self, at: _At, key: str, compiled: Compiled, scope: Scope) -> None:
        """Whether everything that an expression names can be there."""
        said: set[str] = set()
        for path in compiled.paths:
            if (why := not_there(path, scope, certain=path in compiled.certain)) and why not in said:
                said.add(why)
                at.problem(self.problems, key, why)


@dataclass(frozen=True, slots=True)
class _At:
    """The step that is checked."""

    path: str
    #: In its sequence, from 1.
    number: int
    step: StepPart

    @property
    def name(self) -> str:
        return step_name(self.number, self.step)

    def problem(self, problems: list[Problem], key: str, message: str) -> None:
        path = f"{self.path}.{key}" if key else self.path
        problems.append(Problem(path=path, step=self.step.label, message=message))


def _caught(scope: Scope) -> Scope:
    """What a catch sees: which of the steps before have run, and how far the data got, nobody knows."""
    maybe = dict.fromkeys(scope.steps, UNKNOWN)
    return replace(scope, data=UNKNOWN, steps=maybe, more={**scope.more, "error": _ERROR})


_ERROR = Table(
    keys={"code": Some("string"), "message": Some("string"), "details": UNKNOWN, "step": Some("string")},
    required=frozenset({"code", "message", "step"}),
    closed=True,
)
_SUCCESS = Table(
    keys={"success": True, "data": UNKNOWN}, required=frozenset({"success", "data"}), closed=True
)
_FAILURE = Table(
    keys={"success": False, "error": UNKNOWN}, required=frozenset({"success", "error"}), closed=True
)
