"""The expressions of a step, compiled; what is none is refused with the step and the key."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from penstock_plugins.errors import InvalidPipelineError
from penstock_plugins.pipelines.expressions import (
    CompiledCondition,
    CompiledTemplate,
    compile_condition,
    compile_template,
)

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class _Compile(Protocol[T_co]):
    """Compiles an expression."""

    def __call__(self, source: Any, /, *, step: str, key: str) -> T_co: ...


def condition_of(text: str | None, label: str, key: str) -> CompiledCondition | None:
    """A condition. Raises as `compiled`."""
    return None if text is None else compiled(compile_condition, text, label, key)


def template_of(value: Any, label: str, key: str) -> CompiledTemplate:
    """A value in which texts may have holes. Raises as `compiled`."""
    return compiled(compile_template, value, label, key)


def compiled(compile_one: _Compile[T], source: Any, label: str, key: str) -> T:
    """An expression, compiled.

    Args:
        compile_one: what compiles it.
        source: it, as it was written.
        label: the step as messages name it.
        key: the key that it stands under.

    Raises:
        InvalidPipelineError: it is none, or could cost too much.
    """
    try:
        return compile_one(source, step=label, key=key)
    except ValueError as error:
        raise InvalidPipelineError(f"{label}: {key}: {error}") from error
