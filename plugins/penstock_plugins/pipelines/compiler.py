"""Makes programs of a plan, the same ones wherever it is done: instructions for each kind of step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock_plugins.errors import InvalidPipelineError, LoopLimitError
from penstock_plugins.pipelines.compiler_code import Code, Frame, Place, cover, kept_slots, reads_input
from penstock_plugins.pipelines.compiler_expressions import compiled, condition_of, template_of
from penstock_plugins.pipelines.expressions import (
    CompiledTemplate,
    compile_list,
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
from penstock_plugins.pipelines.program import Instruction, Names, Op, Program, Scope
from penstock_plugins.pipelines.traits import MAX_COMPOSITE_DEPTH
from penstock_plugins.schema import ParamsSchema

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


class _Compiler:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._instructions = 0
        #: Whether some step says how it is undone.
        self._undoes = False
        self._schemas: dict[str, ParamsSchema] = {}
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
        code = Code(self._count)
        frame = Frame(prefix, composites, 0)
        slots = self._sequence(code, steps, prefix or "steps", Place(frame, None, -1))
        end = code.emit(Op.END)
        frame.close(end.at)
        self.programs[number] = Program(
            number=number,
            code=tuple(code.code),
            kept=kept_slots(code.code) | (frozenset(slots) if is_composite else frozenset()),
            # An item whose steps were undone begins anew (`ItemState.rewound`).
            reads_input=reads_input(code.code) or (number == 0 and self._undoes),
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

    def _sequence(self, code: Code, steps: tuple[Step, ...], path: str, place: Place) -> tuple[int, ...]:
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
                cover(code.code[begin:], place.scope, scope)
            self._step(code, step, common, place)
            slots.append(slot)
            if step.name is not None:
                place.frame.steps[step.name] = slot
        return tuple(slots)

    def _step(self, code: Code, step: Step, common: dict[str, Any], place: Place) -> None:
        label = common["label"]
        conditions = {
            "when": condition_of(step.when, label, "when"),
            "stop_when": condition_of(step.stop_when, label, "stop_when"),
        }
        first = len(code.code)
        match step:
            case ToolStep():
                self._tool(code, step, {**common, **conditions}, place)
            case TransformStep():
                value = template_of(step.transform, label, "transform")
                self._emit(code, place, Op.TRANSFORM, value=value, **common, **conditions)
            case FilterStep():
                holds = condition_of(step.filter, label, "filter")
                self._emit(code, place, Op.FILTER, condition=holds, **common, **conditions)
            case BranchStep():
                self._branch(code, step, common, conditions, place)
            case CatchStep():
                self._catch(code, step, common, conditions, place)
            case MapStep() | ParallelStep():
                self._fan(code, step, common, conditions, place)
        code.code[first].to = code.code[first].to if code.code[first].to >= 0 else len(code.code)

    def _emit(self, code: Code, place: Place, op: Op, **fields: Any) -> Instruction:
        instruction = code.emit(op, scope=place.scope, **{"depth": place.frame.depth, **fields})
        place.frame.open.append(instruction)
        return instruction

    def _tool(self, code: Code, step: ToolStep, fields: dict[str, Any], place: Place) -> None:
        label = fields["label"]
        meaning = self._meaning(step.tool, label)
        value = None if step.params == "inherit" else template_of(step.params, label, "params")
        after = self._after_call(step, label)
        if isinstance(meaning, int):
            retry = None if step.retry is None else step.retry.model_dump(exclude_none=True)
            called = {"tool": meaning, "tool_name": self._plan.tools[meaning].name, "value": value}
            limits = {"timeout_s": step.timeout_s, "retry": retry}
            self._emit(code, place, Op.CALL, **called, **limits, **after, **fields)
            return
        self._composite(code, meaning, value, after, fields, place)

    def _after_call(self, step: ToolStep, label: str) -> dict[str, Any]:
        """What is done after a call."""
        after: dict[str, Any] = {
            "output": None if step.output is None else template_of(step.output, label, "output"),
            "continue_on_error": step.continue_on_error,
            "has_default": step.has_default,
            "default": template_of(step.default, label, "default") if step.has_default else None,
        }
        if step.compensate is not None:
            undo = self._meaning(step.compensate.tool, label)
            if isinstance(undo, str):
                raise InvalidPipelineError(f"{label}: compensate names a plain tool, not a composite")
            self._undoes = True
            after["undo_tool"] = undo
            after["undo_params"] = template_of(step.compensate.params, label, "compensate.params")
        return after

    def _composite(
        self,
        code: Code,
        name: str,
        value: CompiledTemplate | None,
        after: dict[str, Any],
        fields: dict[str, Any],
        place: Place,
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
            schema=self._schema(name),
            **{key: fields[key] for key in fields if key not in {"stop_when", "slot"}},
        )
        frame = Frame(f"{fields['path']} > ", (*outer.composites, name), outer.depth + 1)
        begin = len(code.code)
        inner = Place(frame, place.scope, -1)
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
        frame.close(leave.at)
        cover(
            code.code[begin : leave.at], place.scope, Scope(at=leave.at, depth=outer.depth, outer=place.scope)
        )

    def _branch(
        self, code: Code, step: BranchStep, common: dict[str, Any], conditions: dict[str, Any], place: Place
    ) -> None:
        condition = condition_of(step.branch, common["label"], "branch")
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
        done = self._emit(code, place, Op.DONE, stop_when=conditions["stop_when"], enter=branch.at, **common)
        jump.to = done.at
        branch.enter = done.at

    def _catch(
        self, code: Code, step: CatchStep, common: dict[str, Any], conditions: dict[str, Any], place: Place
    ) -> None:
        catch = self._emit(code, place, Op.CATCH, when=conditions["when"], **{**common, "slot": -1})
        inner = replace(place, error_of=catch.at, number=common["number"])
        catch.error_of = catch.at
        self._sequence(code, step.catch, f"{common['path']}.catch", inner)
        done = self._emit(
            code,
            place,
            Op.DONE,
            stop_when=conditions["stop_when"],
            enter=catch.at,
            **{**common, "error_of": catch.at},
        )
        catch.to = done.at + 1

    def _fan(
        self,
        code: Code,
        step: MapStep | ParallelStep,
        common: dict[str, Any],
        conditions: dict[str, Any],
        place: Place,
    ) -> None:
        frame = place.frame
        shared: dict[str, Any] = {}
        if isinstance(step, MapStep):
            shared["elements"] = compiled(compile_list, step.map, common["label"], "map")
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

    def _schema(self, name: str) -> ParamsSchema:
        if name not in self._schemas:
            self._schemas[name] = ParamsSchema(self._plan.composites[name].parameters or {"type": "object"})
        return self._schemas[name]

    def _meaning(self, name: str, label: str) -> int | str:
        meaning = self._plan.names.get(name)
        if meaning is None:
            raise InvalidPipelineError(f"{label}: the plan does not say what {name} is")
        return meaning
