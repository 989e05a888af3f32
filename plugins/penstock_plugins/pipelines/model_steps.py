"""The kinds of steps, each as it stands in a file: which key it has says which kind it is (L-1, L-2)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Field, Tag, field_validator

from penstock_plugins.manifest_table import Seconds
from penstock_plugins.manifest_tool import RetryTable
from penstock_plugins.pipelines.model_names import NAME_SCHEMA, Name, ToolName
from penstock_plugins.pipelines.model_part import Part, not_empty
from penstock_plugins.pipelines.model_values import Expression, TemplateValue, json_value

#: Which key makes a step which kind.
KINDS = ("tool", "transform", "filter", "branch", "catch", "map", "parallel")


class Compensation(Part):
    """How a finished step is undone."""

    tool: ToolName = Field(description="The tool that undoes it.")
    params: dict[str, Any] = Field(
        description="Its params, evaluated when the step finishes; `result` is the step's own."
    )

    @field_validator("params")
    @classmethod
    def _json(cls, value: dict[str, Any]) -> Any:
        return json_value(value)


class StepPart(Part):
    """What every step may have."""

    kind: ClassVar[str]

    name: Name | None = Field(default=None, description="What later steps call it: `steps.NAME`. Unique.")
    when: Expression | None = Field(default=None, description="CEL. False: this step is skipped.")
    stop_when: Expression | None = Field(
        default=None, description="CEL, after the step. True: the pipeline ends here, successfully."
    )

    _not_empty = field_validator("name", "when", "stop_when", mode="before")(not_empty)

    @property
    def label(self) -> str:
        """What it is called in messages: its name, or else its kind."""
        return self.name or self.kind

    def bodies(self) -> dict[str, tuple[Step, ...]]:
        """The sequences of steps inside it, by the key or `key.name` that leads to them."""
        return {}


class ToolStep(StepPart):
    """Calls a tool: the data becomes what the tool returns."""

    kind: ClassVar[str] = "tool"

    tool: ToolName = Field(description="`plugin.tool`, `plugin@version.tool`, or its own name.")
    params: TemplateValue = Field(
        default="inherit",
        description="The tool's params, in which texts may have `{{ }}`. `inherit`: the data as it is.",
        json_schema_extra={"type": ["object", "string"], "pattern": r"^(?:inherit|\{\{[\s\S]*\}\})$"},
    )
    output: TemplateValue = Field(
        default=None,
        description="What the data becomes, made of `result` ({success, data}). Left out: `result.data`.",
    )
    continue_on_error: bool = Field(default=False, description="A failure does not end the pipeline.")
    default: TemplateValue = Field(
        default=None,
        description="What the data becomes after such a failure, made of `result` ({success, error}); "
        "null is a value. Left out: it stays.",
    )
    timeout_s: Seconds | None = Field(default=None, description="Seconds that one call may take.")
    retry: RetryTable | None = Field(default=None, description="Instead of the tool's own rule.")
    compensate: Compensation | None = Field(
        default=None, description="How it is undone when a later step fails for good."
    )

    _no_empty_rule = field_validator("timeout_s", "retry", "compensate", mode="before")(not_empty)

    @property
    def label(self) -> str:
        """Its name, or else its tool's."""
        return self.name or self.tool

    @property
    def has_default(self) -> bool:
        """Whether `default` was given, be it null."""
        return "default" in self.model_fields_set

    @field_validator("params")
    @classmethod
    def _params(cls, value: Any) -> Any:
        if not isinstance(value, dict) and not (isinstance(value, str) and _may_be_params(value)):
            raise ValueError('write a table, inherit, or one template such as "{{data.params}}"')
        return value

    @field_validator("output")
    @classmethod
    def _output(cls, value: Any) -> Any:
        return None if value == "result" else value

    def _always(self, name: str) -> bool:
        return name == "tool" or (name == "default" and self.has_default)


class TransformStep(StepPart):
    """Makes the data anew."""

    kind: ClassVar[str] = "transform"

    transform: TemplateValue = Field(
        description="What the data becomes: any value, in which texts may have `{{ }}`."
    )


class FilterStep(StepPart):
    """Lets an item go on, or takes it out."""

    kind: ClassVar[str] = "filter"

    filter: Expression = Field(description="CEL. False: the item leaves, as filtered.")


class BranchStep(StepPart):
    """Goes one way or the other."""

    kind: ClassVar[str] = "branch"

    branch: Expression = Field(description="CEL, evaluated once.")
    if_true: Steps = Field(default=(), description="Steps for true. Left out: the data stays.")
    if_false: Steps = Field(default=(), description="Steps for false. Left out: the data stays.")

    def bodies(self) -> dict[str, tuple[Step, ...]]:
        """Both arms."""
        return {"if_true": self.if_true, "if_false": self.if_false}


class CatchStep(StepPart):
    """Goes on after a failure of the steps before it, back to the catch before or to the beginning."""

    kind: ClassVar[str] = "catch"

    catch: Steps = Field(description="Steps that see `error`; their data goes on.")

    def bodies(self) -> dict[str, tuple[Step, ...]]:
        """The handler."""
        return {"catch": self.catch}


class MapStep(StepPart):
    """Runs steps once for each element of a list, all at the same time, and gathers what they give."""

    kind: ClassVar[str] = "map"

    map: Expression = Field(description="JMESPath to a list.")
    steps: Steps = Field(description="Steps for one element, which is `data` and `item`; also `index`.")

    def bodies(self) -> dict[str, tuple[Step, ...]]:
        """What runs for one element."""
        return {"steps": self.steps}


class ParallelStep(StepPart):
    """Runs branches at the same time, each from the same data, and gathers {branch: data}."""

    kind: ClassVar[str] = "parallel"

    parallel: dict[Name, Steps] = Field(
        description="Steps by the name of their branch.",
        min_length=1,
        json_schema_extra={"additionalProperties": False, "propertyNames": NAME_SCHEMA},
    )

    def bodies(self) -> dict[str, tuple[Step, ...]]:
        """The branches, by `parallel.NAME`."""
        return {f"parallel.{name}": steps for name, steps in self.parallel.items()}


def _kind_of(value: Any) -> str | None:
    if isinstance(value, StepPart):
        return value.kind
    if not isinstance(value, dict):
        return "tool"  # which says that it must be a table
    found = [kind for kind in KINDS if kind in value]
    return found[0] if len(found) == 1 else None


Step = Annotated[
    Annotated[ToolStep, Tag("tool")]
    | Annotated[TransformStep, Tag("transform")]
    | Annotated[FilterStep, Tag("filter")]
    | Annotated[BranchStep, Tag("branch")]
    | Annotated[CatchStep, Tag("catch")]
    | Annotated[MapStep, Tag("map")]
    | Annotated[ParallelStep, Tag("parallel")],
    Discriminator(
        _kind_of,
        custom_error_type="step_kind",
        custom_error_message=f"a step has exactly one of the keys {', '.join(KINDS)}",
    ),
]
Steps = Annotated[tuple[Step, ...], Field(strict=False)]

#: The model of each kind.
STEP_MODELS: dict[str, type[StepPart]] = {
    model.kind: model
    for model in (ToolStep, TransformStep, FilterStep, BranchStep, CatchStep, MapStep, ParallelStep)
}
for _model in STEP_MODELS.values():
    _model.model_rebuild()


def _may_be_params(text: str) -> bool:
    return text == "inherit" or (text.startswith("{{") and text.endswith("}}"))
