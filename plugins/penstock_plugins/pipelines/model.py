"""What a pipeline is: a name and steps, as data. The shape in Python is the shape in JSON, YAML and TOML.

A composite tool is a pipeline with `parameters`. Words:

- A *sequence* is a list of steps: the pipeline's own, an arm of a branch, a handler, a member's body.
- A *frame* is what has an `input` and step names of its own: a pipeline, a composite, a member of `map`
  or `parallel`. The input of a map's member is its element, that of a branch the data it began with.
- `result` and each of `results` is `{success, data}` or `{success, error}`; null for a skipped step.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self, TypeVar

import orjson
from pydantic import Field, ValidationError, field_validator, model_validator

from penstock_plugins.errors import InvalidPipelineError, ManifestError
from penstock_plugins.nesting import nests_deeper
from penstock_plugins.pipelines.model_part import DOCUMENT, Part, not_empty
from penstock_plugins.pipelines.model_problems import Problem, problems_in
from penstock_plugins.pipelines.model_steps import (
    KINDS,
    BranchStep,
    CatchStep,
    Compensation,
    FilterStep,
    MapStep,
    ParallelStep,
    Step,
    StepPart,
    Steps,
    ToolStep,
    TransformStep,
)
from penstock_plugins.pipelines.model_values import MAX_EXPRESSION_CHARS, json_value
from penstock_plugins.tool import TOOL_NAME
from penstock_plugins.versions import MAX_VERSION_CHARS, parse_version

__all__ = [
    "KINDS",
    "MAX_EXPRESSION_CHARS",
    "MAX_NESTING",
    "MAX_PIPELINE_BYTES",
    "MAX_STEPS",
    "BranchStep",
    "CatchStep",
    "Compensation",
    "FilterStep",
    "MapStep",
    "ParallelStep",
    "Pipeline",
    "Problem",
    "Step",
    "StepPart",
    "ToolStep",
    "TransformStep",
    "structure",
    "walk",
]

#: Steps of a pipeline at most, those inside of others included.
MAX_STEPS = 1000
#: How deep sequences may be inside each other.
MAX_NESTING = 16
#: Bytes of a pipeline as JSON at most.
MAX_PIPELINE_BYTES = 1024 * 1024
#: Lists and tables inside each other, before it is known what they are.
_MAX_SHAPE_NESTING = 128
#: Semantic versions, for editors; `parse_version` is what reads them.
_NUMBER = r"(?:0|[1-9][0-9]*)"
_LABEL = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = (
    rf"^{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_LABEL}(?:\.{_LABEL})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$"
)

S_co = TypeVar("S_co", covariant=True)


class Signs(Protocol[S_co]):
    """`penstock_scheduler.Producer`, or the one for asyncio, whose signatures are to be awaited."""

    @property
    def signature(self) -> Callable[..., S_co]:
        """See there."""


class Pipeline(Part):
    """Several calls and what happens between them."""

    name: str = Field(
        description="What it is called; as a composite tool, the tool's name.",
        json_schema_extra={"pattern": f"^{TOOL_NAME.pattern}$"},
    )
    description: str = Field(default="", max_length=4000, description="What it does, in a sentence or two.")
    version: str = Field(
        default="0.0.0",
        description="Semantic version.",
        json_schema_extra={"maxLength": MAX_VERSION_CHARS, "pattern": _VERSION},
    )
    parameters: dict[str, Any] | None = Field(
        default=None,
        description="JSON Schema of the input, of type object. With it the pipeline is a composite tool.",
        json_schema_extra={"required": ["type"], "properties": {"type": {"const": "object"}}},
    )
    steps: Steps = Field(description="What it does, in order.")

    _not_empty = field_validator("parameters", mode="before")(not_empty)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not TOOL_NAME.fullmatch(value):
            raise ValueError("must begin with a letter and have letters, digits, - and _ only, 64 at most")
        return value

    @field_validator("version")
    @classmethod
    def _version(cls, value: str) -> str:
        parse_version(value)
        return value

    @field_validator("parameters")
    @classmethod
    def _schema(cls, value: dict[str, Any] | None) -> Any:
        if value is None:
            return None
        # Imported here: most pipelines are no composites.
        from penstock_plugins.schema import check_schema

        value = json_value(value)
        try:
            check_schema(value)
        except ManifestError as error:
            raise ValueError("; ".join(error.problems)) from error
        return value

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if found := list(structure(self)):
            raise ValueError("; ".join(map(str, found)))
        return self

    @property
    def is_composite(self) -> bool:
        """Whether it is a tool of its own."""
        return self.parameters is not None

    def signature(self, producer: Signs[S_co], given: Any = None, **options: Any) -> S_co:
        """Its Celery signature, for the canvas of any app. See `Producer.signature`.

        Args:
            producer: where its tools are.
            given: its input; as `params` there.
            options: as there.
        """
        return producer.signature(self, given, **options)

    def canonical(self) -> bytes:
        """As JSON, the same bytes for pipelines that say the same."""
        return orjson.dumps(self.to_dict(), option=orjson.OPT_SORT_KEYS)

    def digest(self) -> str:
        """sha256 of `canonical`, in hex."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @classmethod
    def from_dict(cls, shape: Mapping[str, Any], *, path: str = "") -> Self:
        """The pipeline in a parsed document.

        Args:
            shape: as `to_dict` gives it.
            path: where it came from, for messages.

        Raises:
            InvalidPipelineError: it cannot be used; has every problem.
        """
        if nests_deeper(shape, _MAX_SHAPE_NESTING):
            raise InvalidPipelineError(f"nested more than {_MAX_SHAPE_NESTING} deep", path)
        try:
            pipeline = cls.model_validate(shape, context=DOCUMENT)
        except ValidationError as error:
            found = problems_in(error, shape, tuple(Pipeline.model_fields))
            raise InvalidPipelineError(found, path) from error
        except (TypeError, ValueError, RecursionError) as error:  # text that is no Unicode
            raise InvalidPipelineError(f"it cannot travel as JSON: {error}", path) from error
        pipeline.check_written(path)
        return pipeline

    def check_written(self, path: str = "") -> None:
        """See that it can travel. One that was put together in Python may be too large for that.

        Args:
            path: where it came from, for messages.

        Raises:
            InvalidPipelineError: it cannot.
        """
        try:
            written = len(self.canonical())
        except (TypeError, ValueError, RecursionError) as error:  # text that is no Unicode
            raise InvalidPipelineError(f"it cannot travel as JSON: {error}", path) from error
        if written > MAX_PIPELINE_BYTES:
            raise InvalidPipelineError(
                f"it has {written} bytes as JSON; {MAX_PIPELINE_BYTES} are allowed", path
            )


def walk(steps: tuple[Step, ...], path: str = "steps", depth: int = 1) -> Iterator[tuple[str, int, StepPart]]:
    """Every step with the way to it and the depth of its sequence, before those that are inside of it."""
    for number, step in enumerate(steps):
        at = f"{path}[{number}]"
        yield at, depth, step
        if depth <= MAX_NESTING:
            for key, body in step.bodies().items():
                yield from walk(body, f"{at}.{key}", depth + 1)


def structure(pipeline: Pipeline) -> Iterator[Problem]:
    """What only the whole can tell: sizes, and names that are there twice."""
    for count, (path, depth, step) in enumerate(walk(pipeline.steps), start=1):
        if count > MAX_STEPS:
            yield Problem(path="steps", step="", message=f"there are more than {MAX_STEPS} steps in all")
            return
        if depth > MAX_NESTING:
            yield Problem(
                path=path, step=step.label, message=f"steps are nested more than {MAX_NESTING} deep"
            )
            return
    yield from _doubled_names(pipeline.steps, "steps")


def _doubled_names(frame: tuple[Step, ...], path: str) -> Iterator[Problem]:
    names: Counter[str] = Counter()
    for at, step in _of_frame(frame, path):
        if step.name is not None:
            names[step.name] += 1
            if names[step.name] == 2:
                yield Problem(path=at, step=step.name, message="another step has this name")
        if isinstance(step, MapStep | ParallelStep):
            for key, body in step.bodies().items():
                yield from _doubled_names(body, f"{at}.{key}")


def _of_frame(steps: tuple[Step, ...], path: str) -> Iterator[tuple[str, StepPart]]:
    """The steps of one frame: those of members have frames of their own."""
    for number, step in enumerate(steps):
        at = f"{path}[{number}]"
        yield at, step
        if not isinstance(step, MapStep | ParallelStep):
            for key, body in step.bodies().items():
                yield from _of_frame(body, f"{at}.{key}")
