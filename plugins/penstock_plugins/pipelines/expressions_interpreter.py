"""Evaluates JMESPath, and counts while it does: what a stranger writes costs a worker little."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from penstock_plugins.pipelines.expressions_bounds import (
    MAX_LIST,
    MAX_OUTPUT_BYTES,
    MAX_VISITS,
    Budget,
    TooLargeError,
    weigh,
)
from penstock_plugins.pipelines.expressions_functions import PipelineFunctions
from penstock_plugins.pipelines.model_values import can_travel
from penstock_plugins.printable import printable


def parse(text: str) -> Any:
    """The syntax tree of an expression.

    Raises:
        ValueError: it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of literals that are no JSON
            return jmespath.compile(text).parsed
    except (JMESPathError, Warning, ValueError) as error:
        raise ValueError(f"it is no JMESPath: {printable(' '.join(str(error).split()))}") from None
    except (RecursionError, TypeError, LookupError, AttributeError):
        raise ValueError("it is no JMESPath") from None


def evaluate(tree: Any, env: Mapping[str, Any], budget: Budget) -> Any:
    """The value of an expression.

    Raises:
        TooLargeError: it would cost too much.
        ValueError: it has none; says why.
    """
    try:
        return _Interpreter(budget).visit(tree, env)
    except JMESPathError:  # its own words hold the value, however large
        raise ValueError("a function has a value that it does not take") from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, TooLargeError):
            raise
        raise ValueError("it cannot be evaluated with these values") from None


class _Interpreter(TreeInterpreter):
    """Counts its steps, and what functions are about to make."""

    _FUNCTIONS = PipelineFunctions()

    def __init__(self, budget: Budget) -> None:  # the library's own makes a table of functions each time
        self._method_cache: dict[str, Any] = {}
        self._dict_cls = dict
        self._functions = self._FUNCTIONS
        self._budget = budget

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._budget.visits -= 1
        if self._budget.visits < 0:
            raise TooLargeError(f"it takes more than {MAX_VISITS} steps")
        value = super().visit(node, *args, **kwargs)
        if isinstance(value, list | dict) and len(value) > MAX_LIST:
            raise TooLargeError(f"it takes apart more than {MAX_LIST} elements")
        return value

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        given = [self.visit(child, value) for child in node["children"]]
        if node["value"] == "join":
            self._make(_joined_chars(given))
        elif node["value"] == "to_string":
            self._make(weigh(given, self._budget.output_bytes))
        made = self._functions.call_function(node["value"], given)
        if (isinstance(made, float) and not math.isfinite(made)) or (
            isinstance(made, int) and not can_travel(made)
        ):
            raise TooLargeError("a number is too large")
        return made

    def _make(self, chars: int) -> None:
        """Count a text before it is made."""
        if chars > self._budget.output_bytes:
            raise TooLargeError(f"it makes more than {MAX_OUTPUT_BYTES // 1024} KiB")
        self._budget.output_bytes -= chars


def _joined_chars(given: list[Any]) -> int:
    if len(given) != 2 or not isinstance(given[0], str) or not isinstance(given[1], list):
        return 0  # which is refused
    return len(given[0]) * len(given[1]) + sum(len(item) for item in given[1] if isinstance(item, str))
