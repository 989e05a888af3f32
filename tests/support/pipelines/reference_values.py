"""What the reference interpreter shares with the real thing: expressions. Their failures are `Failed`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock_plugins.errors import ToolError
from penstock_plugins.pipelines.expressions import compile_condition, compile_list, compile_template


class Failed(Exception):
    """A step failed; with its code."""

    #: Whether the trace says so.
    noted = False


class Stopped(Exception):
    """A frame ends here, well."""


class Filtered(Exception):
    """The item leaves."""


def value(template: Any, env: dict[str, Any]) -> Any:
    """What a template makes."""
    return _computed(lambda: compile_template(template, step="", key="").evaluate(env))


def elements(reference: str, env: dict[str, Any]) -> list[Any]:
    """What a list refers to."""
    found: list[Any] = _computed(lambda: compile_list(reference, step="", key="").evaluate(env))
    return found


def holds(condition: str | None, env: dict[str, Any], *, without: bool = True, quietly: bool = False) -> bool:
    """Whether a condition is true. `without`: what none is; `quietly`: one without a value is false."""
    try:
        if condition is None:
            return without
        return bool(_computed(lambda: compile_condition(condition, step="", key="").evaluate(env)))
    except Failed:
        if quietly:
            return False
        raise


def _computed(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except ToolError as error:
        raise Failed(error.code.value) from None
