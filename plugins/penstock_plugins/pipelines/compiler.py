"""Makes programs of a plan, the same ones wherever it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from penstock_plugins.errors import InvalidPipelineError, LoopLimitError
from penstock_plugins.pipelines.expressions import (
    CompiledCondition,
    CompiledTemplate,
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
    Step,
    ToolStep,
    TransformStep,
)
from penstock_plugins.pipelines.plan import Plan
from penstock_plugins.pipelines.program import Instruction, Names, Op, Program, Scope, needs_in
from penstock_plugins.pipelines.traits import MAX_COMPOSITE_DEPTH

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class _Compile(Protocol[T_co]):
    """Compiles an expression."""

    def __call__(self, source: Any, /, *, step: str, key: str) -> T_co: ...


#: Instructions of a plan at most, composites written out.
MAX_INSTRUCTIONS = 20_000


def compile_plan(plan: Plan) -> tuple[Program, ...]:
    """The programs of a plan, by their numbers; the run's own is the first.

    Raises:
        InvalidPipelineError: an expression that is none.
        LoopLimitError: composites are too deep inside each other, or one inside of itself.
    """
    compiler = _Compiler(plan)
    compiler.program(plan.pipeline.steps, "", is_composite=bool(plan.composite))
    return tuple(program for program in compiler.programs if program is not None)


@dataclass(slots=True)
class _Frame:
    """A pipeline, a composite or a member body that is being compiled."""

    #: In front of paths: the composites that lead here.
    prefix: str
    composites: tuple[str, ...]
    depth: int
    steps: dict[str, int] = field(default_factory=dict)
    #: Instructions whose `frame_end` is not known yet.
    open: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sequence stands."""

    frame: _Frame
    scope: Scope | None
    error_of: int
    #: The step of its frame, from 1, that it is inside of. 0: it is the frame's own sequence.
    number: int = 0


class _Code:
    """The instructions of one program."""

    def __init__(self, count: Callable[[], None]) -> None:
        self.code: list[Instruction] = []
        self.slots = 0
        self._count = count

    def emit(self, op: Op, **fields: Any) -> Instruction:
        self._count()
        instruction = Instruction(op=op, at=len(self.code), **fields)
        self.code.append(instruction)
        return instruction

    def slot(self) -> int:
        self.slots += 1
        return self.slots - 1


class _Compiler:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._instructions = 0
        #: Whether some step says how it is undone.
        self._undoes = False
        self.programs: list[Program | None] = []

    def program(
        self,
        steps: tuple[Step, ...],
        prefix: str,
        *,
        composites: tuple[str, ...] = (),
        is_composite: bool = False,
    ) -> int:
        """Compile a program; its number."""
        number = len(self.programs)
        self.programs.append(None)
        code = _Code(self._count)
        frame = _Frame(prefix, composites, 0)
        slots = self._sequence(code, steps, prefix or "steps", _Place(frame, None, -1))
        end = code.emit(Op.END)
        self._close(frame, end.at)
        self.programs[number] = Program(
            number=number,
            code=tuple(code.code),
            kept=_kept(code.code) | (frozenset(slots) if is_composite else frozenset()),
            # An item whose steps were undone begins anew (`ItemState.rewound`).
            reads_input=_reads_input(code.code) or (number == 0 and self._undoes),
            is_composite=is_composite,
            own_slots=slots,
        )
        return number

    def _count(self) -> None:
        self._instructions += 1
        if self._instructions > MAX_INSTRUCTIONS:
            raise LoopLimitError(
                f"With its composites written out the pipeline has more than {MAX_INSTRUCTIONS} instructions"
            )

    @staticmethod
    def _close(frame: _Frame, end: int) -> None:
        for instruction in frame.open:
            instruction.frame_end = end

    def _sequence(self, code: _Code, steps: tuple[Step, ...], path: str, place: _Place) -> tuple[int, ...]:
        """Compile a sequence; the slots of its steps."""
        slots: list[int] = []
        begin = len(code.code)
        for position, step in enumerate(steps):
            slot = code.slot()
            names = Names(results=tuple(slots), steps=dict(place.frame.steps))
            at = f"{path}[{position}]"
            label = f"step {position + 1} ({step.label})"
            common = {
                "path": at,
                "label": label,
                "name": step.name or "",
                "kind": step.kind,
                "slot": slot,
                "names": names,
                "depth": place.frame.depth,
                "number": place.number or position + 1,
                "error_of": place.error_of,
            }
            if isinstance(step, CatchStep):
                # What comes before an earlier catch has that one first, then this one.
                scope = Scope(at=len(code.code), depth=place.frame.depth, outer=place.scope)
                _cover(code.code[begin:], place.scope, scope)
            self._step(code, step, common, place)
            slots.append(slot)
            if step.name is not None:
                place.frame.steps[step.name] = slot
        return tuple(slots)

    def _step(self, code: _Code, step: Step, common: dict[str, Any], place: _Place) -> None:
        label = common["label"]
        conditions = {
            "when": _condition(step.when, label, "when"),
            "stop_when": _condition(step.stop_when, label, "stop_when"),
        }
        first = len(code.code)
        match step:
            case ToolStep():
                self._tool(code, step, {**common, **conditions}, place)
            case TransformStep():
                self._emit(
                    code,
                    place,
                    Op.TRANSFORM,
                    value=_template(step.transform, label, "transform"),
                    **common,
                    **conditions,
                )
            case FilterStep():
                self._emit(
                    code,
                    place,
                    Op.FILTER,
                    condition=_condition(step.filter, label, "filter"),
                    **common,
                    **conditions,
                )
            case BranchStep():
                self._branch(code, step, common, conditions, place)
            case CatchStep():
                self._catch(code, step, common, conditions, place)
            case MapStep() | ParallelStep():
                self._fan(code, step, common, conditions, place)
        code.code[first].to = code.code[first].to if code.code[first].to >= 0 else len(code.code)

    def _emit(self, code: _Code, place: _Place, op: Op, **fields: Any) -> Instruction:
        instruction = code.emit(op, scope=place.scope, **fields)
        place.frame.open.append(instruction)
        return instruction

    def _tool(self, code: _Code, step: ToolStep, fields: dict[str, Any], place: _Place) -> None:
        label = fields["label"]
        meaning = self._meaning(step.tool, label)
        value = None if step.params == "inherit" else _template(step.params, label, "params")
        after: dict[str, Any] = {
            "output": None if step.output is None else _template(step.output, label, "output"),
            "continue_on_error": step.continue_on_error,
            "has_default": step.has_default,
            "default": _template(step.default, label, "default") if step.has_default else None,
        }
        if step.compensate is not None:
            undo = self._meaning(step.compensate.tool, label)
            if isinstance(undo, str):
                raise InvalidPipelineError(f"{label}: compensate names a plain tool, not a composite")
            self._undoes = True
            after["undo_tool"] = undo
            after["undo_params"] = _template(step.compensate.params, label, "compensate.params")
        if isinstance(meaning, int):
            retry = None if step.retry is None else step.retry.model_dump(exclude_none=True)
            self._emit(
                code,
                place,
                Op.CALL,
                tool=meaning,
                tool_name=self._plan.tools[meaning].name,
                value=value,
                timeout_s=step.timeout_s,
                retry=retry,
                **after,
                **fields,
            )
            return
        self._composite(code, meaning, value, {**after}, fields, place)

    def _composite(
        self,
        code: _Code,
        name: str,
        value: CompiledTemplate | None,
        after: dict[str, Any],
        fields: dict[str, Any],
        place: _Place,
    ) -> None:
        outer = place.frame
        if name in outer.composites or len(outer.composites) >= MAX_COMPOSITE_DEPTH:
            chain = " > ".join((*outer.composites, name))
            raise LoopLimitError(f"Composite tools are too deep inside each other: {chain}")
        enter = self._emit(
            code,
            place,
            Op.ENTER,
            tool_name=name,
            value=value,
            **{key: fields[key] for key in fields if key not in {"stop_when", "slot"}},
        )
        frame = _Frame(f"{fields['path']} > ", (*outer.composites, name), outer.depth + 1)
        begin = len(code.code)
        inner = _Place(frame, place.scope, -1)
        slots = self._sequence(code, self._plan.composites[name].steps, f"{fields['path']} > steps", inner)
        leave = self._emit(
            code,
            place,
            Op.LEAVE,
            tool_name=name,
            enter=enter.at,
            inner_slots=slots,
            **after,
            **{key: fields[key] for key in fields if key != "when"},
        )
        self._close(frame, leave.at)
        _cover(
            code.code[begin : leave.at], place.scope, Scope(at=leave.at, depth=outer.depth, outer=place.scope)
        )

    def _branch(
        self, code: _Code, step: BranchStep, common: dict[str, Any], conditions: dict[str, Any], place: _Place
    ) -> None:
        condition = _condition(step.branch, common["label"], "branch")
        branch = self._emit(
            code, place, Op.BRANCH, condition=condition, when=conditions["when"], **{**common, "slot": -1}
        )
        # Names of one arm are none for the other, but for what follows, where they may not be there.
        before = dict(place.frame.steps)
        inner = replace(place, number=common["number"])
        self._sequence(code, step.if_true, f"{common['path']}.if_true", inner)
        added = dict(place.frame.steps)
        place.frame.steps.clear()
        place.frame.steps.update(before)
        jump = self._emit(code, place, Op.JUMP)
        branch.to = len(code.code)
        self._sequence(code, step.if_false, f"{common['path']}.if_false", inner)
        place.frame.steps.update(added)
        done = self._emit(code, place, Op.DONE, stop_when=conditions["stop_when"], **common)
        jump.to = done.at
        branch.enter = done.at

    def _catch(
        self, code: _Code, step: CatchStep, common: dict[str, Any], conditions: dict[str, Any], place: _Place
    ) -> None:
        catch = self._emit(code, place, Op.CATCH, when=conditions["when"], **{**common, "slot": -1})
        inner = replace(place, error_of=catch.at, number=common["number"])
        catch.error_of = catch.at
        self._sequence(code, step.catch, f"{common['path']}.catch", inner)
        done = self._emit(
            code, place, Op.DONE, stop_when=conditions["stop_when"], **{**common, "error_of": catch.at}
        )
        catch.to = done.at + 1

    def _fan(
        self,
        code: _Code,
        step: MapStep | ParallelStep,
        common: dict[str, Any],
        conditions: dict[str, Any],
        place: _Place,
    ) -> None:
        frame = place.frame
        shared: dict[str, Any] = {}
        if isinstance(step, MapStep):
            shared["elements"] = _compiled(compile_list, step.map, common["label"], "map")
        shared["programs"] = tuple(
            self.program(body, f"{common['path']}.{key}", composites=frame.composites)
            for key, body in step.bodies().items()
        )
        if isinstance(step, ParallelStep):
            shared["branches"] = tuple(step.parallel)
        fan = self._emit(code, place, Op.FAN, when=conditions["when"], **shared, **common)
        shared.pop("elements", None)
        self._emit(
            code, place, Op.GATHER, stop_when=conditions["stop_when"], enter=fan.at, **shared, **common
        )
        fan.to = len(code.code)

    def _meaning(self, name: str, label: str) -> int | str:
        meaning = self._plan.names.get(name)
        if meaning is None:
            raise InvalidPipelineError(f"{label}: the plan does not say what {name} is")
        return meaning


def _cover(code: list[Instruction], outer: Scope | None, scope: Scope) -> None:
    """Put a scope around instructions: innermost scopes of theirs that led to `outer` lead to it now."""
    # Scopes are frozen, and shared by instructions: those between are made again, each once.
    made: dict[int, Scope] = {}

    def around(inner: Scope | None) -> Scope:
        if inner is outer or inner is None:
            return scope
        if id(inner) not in made:
            made[id(inner)] = replace(inner, outer=around(inner.outer))
        return made[id(inner)]

    for instruction in code:
        instruction.scope = around(instruction.scope)


def _kept(code: list[Instruction]) -> frozenset[int]:
    kept: set[int] = set()
    for instruction in code:
        names = instruction.names
        for needs in needs_in(instruction):
            if needs.results is None:
                kept.update(names.results)
            else:
                kept.update(names.results[n] for n in needs.results if n < len(names.results))
            wanted: Mapping[str, int] | list[str]
            wanted = (
                list(names.steps) if needs.steps is None else [n for n in needs.steps if n in names.steps]
            )
            kept.update(names.steps[name] for name in wanted)
        kept.update(instruction.inner_slots)
    return frozenset(kept)


def _reads_input(code: list[Instruction]) -> bool:
    return any(needs.roots & {"input", "item"} for one in code if one.depth == 0 for needs in needs_in(one))


def _condition(text: str | None, label: str, key: str) -> CompiledCondition | None:
    return None if text is None else _compiled(compile_condition, text, label, key)


def _template(value: Any, label: str, key: str) -> CompiledTemplate:
    return _compiled(compile_template, value, label, key)


def _compiled(compile_one: _Compile[T], source: Any, label: str, key: str) -> T:
    try:
        return compile_one(source, step=label, key=key)
    except ValueError as error:
        raise InvalidPipelineError(f"{label}: {key}: {error}") from error
