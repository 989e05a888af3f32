"""What the expressions of a step may name, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from penstock_plugins.pipelines.check_shapes import (
    NOTHING,
    UNKNOWN,
    Shape,
    Some,
    Table,
    either,
    keys_of,
    part_of,
    type_of,
)
from penstock_plugins.pipelines.expressions_paths import Path, spelled
from penstock_plugins.pipelines.model import MapStep, ParallelStep, Step, StepPart, ToolStep


class Frame:
    """The steps of one frame that have names."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.names = {step.name for step in of_frame(steps) if step.name is not None}


def of_frame(steps: tuple[Step, ...]) -> Iterator[StepPart]:
    """The steps of one frame: those of members have frames of their own."""
    for step in steps:
        yield step
        if not isinstance(step, MapStep | ParallelStep):
            for body in step.bodies().values():
                yield from of_frame(body)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What expressions of a step may name, and what is known of it."""

    input: Shape
    data: Shape
    frame: Frame
    results: tuple[Shape, ...] = ()
    #: Those that may have run before.
    steps: dict[str, Shape] = field(default_factory=dict)
    #: Roots that are not everywhere: `result`, `error`, `item`, `index`.
    more: dict[str, Shape] = field(default_factory=dict)

    def root(self, name: str) -> Shape:
        """What is known of a root."""
        if name in {"input", "data"}:
            return self.input if name == "input" else self.data
        if name == "results":
            return list(self.results)
        if name == "steps":
            return Table(keys=self.steps)
        return self.more.get(name, UNKNOWN)

    def after(self, step: StepPart, data: Shape) -> Scope:
        """What the next step sees."""
        # Results have what a tool returned, which `output` does not change, and nobody knows before the run.
        returned = UNKNOWN if isinstance(step, ToolStep) else data
        done = Table(
            keys={"success": Some("boolean"), "data": returned, "error": UNKNOWN},
            required=frozenset({"success"}),
            closed=True,
        )
        result = UNKNOWN if step.when is not None else done
        data = data if step.when is None else either(self.data, data)
        steps = self.steps if step.name is None else {**self.steps, step.name: result}
        return replace(self, data=data, results=(*self.results, result), steps=steps)


_WHERE = {
    "error": "error is there only in a catch",
    "item": "item is there only in a map's own steps: take it into the data for a parallel inside of it",
    "index": "index is there only in a map's own steps: take it into the data for a parallel inside of it",
    "result": "result is there only after the step: in output, stop_when and compensate",
}


def not_there(path: Path, scope: Scope, *, certain: bool) -> str:
    """Why nothing can be where a path leads. "": something may be.

    Args:
        path: it.
        scope: of the step that names it.
        certain: whether it must lead somewhere, by more than its root.
    """
    root, *inner = path
    first = inner[0] if inner else None
    if root in _WHERE and root not in scope.more:
        return _WHERE[str(root)]
    if root == "steps" and isinstance(first, str) and first not in scope.steps:
        if first in scope.frame.names:
            return f"steps.{first} is not there yet: the step comes later, or on another way"
        known = (
            f"there are {', '.join(sorted(scope.steps))}" if scope.steps else "no step before it has a name"
        )
        return f"steps.{first}: there is no such step; {known}"
    if root == "results" and isinstance(first, int) and not -len(scope.results) <= first < len(scope.results):
        count = len(scope.results)
        before = f"{count or 'no'} step{'s' * (count != 1)} of this sequence came before"
        return f"results[{first}] is not there: {before}"
    return _nothing_at(path, scope) if certain else ""


def _nothing_at(path: Path, scope: Scope) -> str:
    shape = scope.root(str(path[0]))
    for number, part in enumerate(path[1:], start=1):
        inner = part_of(shape, part)
        if inner is NOTHING:
            keys = keys_of(shape)
            has = f"has {', '.join(keys[:10])}" if keys else f"is {with_article(shape)}"
            return f"there is no {spelled(path)}: {spelled(path[:number])} {has}"
        shape = inner
    return ""


def found_at(path: Path, scope: Scope) -> Shape:
    """What is known of the value at a path."""
    shape = scope.root(str(path[0]))
    for part in path[1:]:
        shape = part_of(shape, part)
    return UNKNOWN if shape is NOTHING else shape


def with_article(shape: Shape) -> str:
    """Its type in words, as `an object`."""
    kind = type_of(shape) or "something else"
    return kind if kind in {"null", "something else"} else f"{'an' if kind[0] in 'aio' else 'a'} {kind}"
