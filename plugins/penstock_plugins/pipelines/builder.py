"""`Pipeline("docs").pipe("markdown.to_html").filter("data.size > 0")`: pipelines written in Python.

Each method gives a new pipeline with one more step; the one before stays as it was, so that pipelines can
share a beginning. What comes out is the same data that a file has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self, TypeAlias, TypedDict, Unpack, cast

from pydantic import ValidationError

from penstock_plugins.errors import InvalidPipelineError
from penstock_plugins.pipelines import model
from penstock_plugins.pipelines.model_problems import problems_in
from penstock_plugins.pipelines.model_steps import KINDS, STEP_MODELS, StepPart, ToolStep

_ONE_KIND = f"a step has exactly one of the keys {', '.join(KINDS)}"
_NO_FUNCTION = (
    "a Python function cannot travel: a pipeline is data only; write an expression, or a tool that does it"
)

#: One step: a text is the name of a tool, a mapping is as in a file.
Item: TypeAlias = StepPart | str | Mapping[str, object]
#: What stands for a sequence of steps.
Body: TypeAlias = model.Pipeline | Item | Sequence[Item]


class Common(TypedDict, total=False):
    """What every step may have."""

    #: What later steps call it, as `steps.NAME`.
    name: str
    #: CEL. False: the step is skipped.
    when: str
    #: CEL, after the step. True: the pipeline ends here, successfully.
    stop_when: str


class ToolKeys(Common, total=False):
    """What a step that calls a tool may have."""

    #: A value with `{{ }}`, or `inherit`, which is the data as it is.
    params: Mapping[str, object] | str
    #: What the data becomes, made of `result`. Left out: `result.data`.
    output: object
    continue_on_error: bool
    #: What the data becomes after a failure. Left out: it stays.
    default: object
    timeout_s: float
    #: `{max_attempts, base_ms, cap_ms}`.
    retry: Mapping[str, int]
    #: `{tool, params}`; or see `Pipeline.compensate`.
    compensate: Mapping[str, object]


def step(**keys: object) -> StepPart:
    """One step as it stands in a file: `step(transform={"n": "{{data.size}}"}, when="data.size > 0")`.

    Raises:
        InvalidPipelineError: it is none; has every problem.
    """
    kinds = [kind for kind in KINDS if kind in keys]
    if len(kinds) != 1:
        raise InvalidPipelineError(_ONE_KIND)
    kind = kinds[0]
    if callable(keys[kind]):
        raise InvalidPipelineError(f"{kind}: {_NO_FUNCTION}")
    try:
        return STEP_MODELS[kind].model_validate(keys)
    except ValidationError as error:
        found = problems_in(error, keys, tuple(STEP_MODELS[kind].model_fields))
        raise InvalidPipelineError([f"{kind}: {problem}" for problem in found]) from None


def tool(name: str, /, **keys: Unpack[ToolKeys]) -> StepPart:
    """One call of a tool, for the body of a branch, a map and the like. As `Pipeline.pipe`."""
    return step(tool=name, **keys)


class Pipeline(model.Pipeline):
    """A pipeline. Every step may have `name`, `when` and `stop_when`.

    Args:
        name: what it is called.
        steps: those that it begins with.
        keys: `description`, `version`, and `parameters`, which makes it a composite tool.

    Raises:
        InvalidPipelineError: by it and by each method: it is none; has every problem.
    """

    def __init__(self, name: str, steps: Body = (), **keys: Any) -> None:
        shape = {"name": name, "steps": _sequence(steps, "steps"), **keys}
        try:
            super().__init__(**shape)
        except ValidationError as error:
            _refuse(error, shape)

    @classmethod
    def from_dict(cls, shape: Mapping[str, Any], *, path: str = "") -> Self:
        """As `model.Pipeline.from_dict`."""
        return cls.of(model.Pipeline.from_dict(shape, path=path))

    @classmethod
    def of(cls, pipeline: model.Pipeline) -> Self:
        """The same pipeline, with these methods."""
        values = {name: getattr(pipeline, name) for name in model.Pipeline.model_fields}
        return cast("Self", cls.model_construct(**values))

    def pipe(self, tool: str, /, **keys: Unpack[ToolKeys]) -> Self:
        """Call a tool: the data becomes what it returns."""
        return self._and(tool=tool, **keys)

    def transform(self, value: object, **keys: Unpack[Common]) -> Self:
        """Make the data anew: any value, in which texts may have `{{ }}`."""
        return self._and(transform=value, **keys)

    def filter(self, condition: str, **keys: Unpack[Common]) -> Self:
        """Let an item go on only if the condition holds."""
        return self._and(filter=condition, **keys)

    def branch(
        self, condition: str, *, if_true: Body = (), if_false: Body = (), **keys: Unpack[Common]
    ) -> Self:
        """Go one way or the other."""
        arms = {"if_true": _sequence(if_true, "if_true"), "if_false": _sequence(if_false, "if_false")}
        return self._and(branch=condition, **arms, **keys)

    def catch(self, handler: Body = (), **keys: Unpack[Common]) -> Self:
        """Go on after a failure of the steps before, back to the catch before or to the beginning.

        Args:
            handler: steps that see `error`; their data goes on. None: the data stays as it was.
            keys: see `Common`.
        """
        return self._and(catch=_sequence(handler, "catch"), **keys)

    def map(self, elements: str, body: Body, **keys: Unpack[Common]) -> Self:
        """Run steps once for each element of a list, and gather what they give.

        Args:
            elements: JMESPath to the list, such as `data.files`.
            body: the steps; the element is `data` and `item`, its position `index`.
            keys: see `Common`.
        """
        return self._and(map=elements, steps=_sequence(body, "map"), **keys)

    def parallel(self, branches: Mapping[str, Body] | None = None, /, **named: Body) -> Self:
        """Run branches at the same time, each from the same data, and gather {branch: data}.

        Args:
            branches: those that cannot be named as keywords.
            named: the others; `name`, `when` and `stop_when` are the step's own.
        """
        own = {key: named.pop(key) for key in Common.__annotations__ if key in named}
        every = {**(branches or {}), **named}
        return self._and(
            parallel={name: _sequence(body, f"parallel.{name}") for name, body in every.items()}, **own
        )

    def compensate(self, tool: str, params: Mapping[str, object]) -> Self:
        """Say how the step before, which calls a tool, is undone when a later step fails for good.

        Args:
            tool: the tool that undoes it.
            params: its params, evaluated when the step finishes; `result` is the step's own.
        """
        last = self.steps[-1] if self.steps else None
        if not isinstance(last, ToolStep):
            raise InvalidPipelineError(
                "compensate: the step before it calls no tool, so nothing can be undone"
            )
        undone = step(**{**last.to_dict(), "compensate": {"tool": tool, "params": params}})
        return self._ending((*self.steps[:-1], undone))

    def _and(self, **keys: object) -> Self:
        try:
            made = step(**keys)
        except InvalidPipelineError as error:
            number = len(self.steps) + 1
            raise InvalidPipelineError([f"step {number}: {problem}" for problem in error.problems]) from None
        return self._ending((*self.steps, made))

    def _ending(self, steps: tuple[StepPart, ...]) -> Self:
        made = self.model_copy(update={"steps": steps})
        if problems := list(map(str, model.structure(made))):
            raise InvalidPipelineError(problems)
        return made


def _sequence(body: Body, where: str) -> tuple[object, ...]:
    if isinstance(body, model.Pipeline):
        return body.steps
    items = [body] if isinstance(body, StepPart | str | Mapping) else body
    if callable(items):
        raise InvalidPipelineError(f"{where}: {_NO_FUNCTION}")
    if not isinstance(items, Sequence):
        raise InvalidPipelineError(f"{where}: write a pipeline, a step, or a list of steps")
    return tuple(_item(item, f"{where}[{number}]") for number, item in enumerate(items))


def _item(item: object, where: str) -> object:
    if isinstance(item, str):
        return ToolStep(tool=item)
    if callable(item):
        raise InvalidPipelineError(f"{where}: {_NO_FUNCTION}")
    if isinstance(item, model.Pipeline):
        raise InvalidPipelineError(f"{where}: a pipeline is no step: give the pipeline itself, or its .steps")
    return dict(item) if isinstance(item, Mapping) else item


def _refuse(error: ValidationError, shape: object) -> NoReturn:
    found = problems_in(error, shape, tuple(model.Pipeline.model_fields))
    raise InvalidPipelineError([str(problem) for problem in found]) from None
