"""Expressions of pipelines, compiled once and evaluated for each item: conditions, references, templates.

Conditions are CEL, references and the holes of templates are JMESPath (why both: see the README's Decisions).
Each compiled expression has `evaluate(env)` and `needs`. `env` holds the values of the roots that there are
(`ROOTS`). Values are plain JSON, and frozen: what an expression gives may be a part of what it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from penstock_plugins.pipelines.expressions_bounds import MAX_LIST, Budget, check_nesting
from penstock_plugins.pipelines.expressions_cel import Condition
from penstock_plugins.pipelines.expressions_errors import MAX_SHOWN_CHARS, Place
from penstock_plugins.pipelines.expressions_jmespath import Reference
from penstock_plugins.pipelines.expressions_paths import ROOTS, MissingPathError, Needs, Path, needs_of
from penstock_plugins.pipelines.expressions_template import Template
from penstock_plugins.pipelines.model_values import MAX_EXPRESSION_CHARS
from penstock_plugins.printable import printable

__all__ = [
    "ROOTS",
    "Compiled",
    "CompiledCondition",
    "CompiledList",
    "CompiledTemplate",
    "Needs",
    "Path",
    "compile_condition",
    "compile_list",
    "compile_template",
]


class Compiled(Protocol):
    """What is compiled."""

    @property
    def needs(self) -> Needs:
        """What must be kept for it."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every way from a root that it names."""

    @property
    def certain(self) -> tuple[Path, ...]:
        """Those of them that must lead somewhere whenever it is evaluated."""

    def evaluate(self, env: Mapping[str, Any]) -> Any:
        """Its value.

        Raises:
            ParamsError: a path leads nowhere (VALIDATION_ERROR).
            PipelineError: it has no value for another reason (PIPELINE_ERROR).
        """


CompiledTemplate = Template


class CompiledCondition:
    """A condition: true or false."""

    __slots__ = ("_condition", "_place", "certain", "needs", "paths")

    def __init__(self, condition: Condition, place: Place) -> None:
        self._condition = condition
        self._place = place
        self.paths = condition.paths
        self.certain = condition.certain
        self.needs = needs_of(condition.paths)

    def evaluate(self, env: Mapping[str, Any]) -> bool:
        """Whether it holds. As `Compiled.evaluate`."""
        try:
            return self._condition.test(env)
        except MissingPathError as error:
            raise self._place.missing(error.path) from None
        except ValueError as error:
            raise self._place.refused(str(error)) from None

    def never_holds(self) -> str | None:
        """Why it has no value for any item, though it names nothing of one. None: it may have."""
        if self.paths:
            return None
        try:
            self._condition.test({})
        except ValueError as error:
            return str(error)
        return None


class CompiledList:
    """A reference to a list, such as that of a `map`."""

    __slots__ = ("_place", "_reference", "certain", "needs", "paths")

    def __init__(self, reference: Reference, place: Place) -> None:
        self._reference = reference
        self._place = place
        self.paths = reference.paths
        self.certain = reference.certain
        self.needs = needs_of(reference.paths)

    def evaluate(self, env: Mapping[str, Any]) -> list[Any]:
        """The list. As `Compiled.evaluate`."""
        try:
            value = self._reference.read(env, Budget())
            if self._reference.plain is None:  # it may be made of what there is, and not a part of it
                check_nesting(value)
        except MissingPathError as error:
            raise self._place.missing(error.path) from None
        except ValueError as error:
            raise self._place.refused(str(error)) from None
        if not isinstance(value, list):
            raise self._place.refused("it gives no list")
        if len(value) > MAX_LIST:
            raise self._place.refused(f"it gives {len(value)} elements; {MAX_LIST} are allowed")
        return value


def compile_condition(text: str, *, step: str, key: str) -> CompiledCondition:
    """Compile CEL.

    Args:
        text: the expression.
        step: the step as messages name it, such as `step 2 (fs.write)`.
        key: the key that it stands under.

    Raises:
        ValueError: it is none, or could cost too much.
    """
    _check_length(text)
    return CompiledCondition(Condition(text), _place(text, step, key))


def compile_list(text: str, *, step: str, key: str) -> CompiledList:
    """Compile JMESPath to a list. As `compile_condition`."""
    _check_length(text)
    return CompiledList(Reference(text), _place(text, step, key))


def compile_template(value: Any, *, step: str, key: str) -> CompiledTemplate:
    """Compile a value in which texts may have `{{ }}`. As `compile_condition`."""
    return Template(value, step=step, key=key)


def _place(text: str, step: str, key: str) -> Place:
    return Place(step=step, key=key, expression=printable(text, MAX_SHOWN_CHARS))


def _check_length(text: str) -> None:
    if not 0 < len(text) <= MAX_EXPRESSION_CHARS:
        raise ValueError(f"an expression has 1 to {MAX_EXPRESSION_CHARS} characters")
