"""JMESPath for references and templates, bounded: what a stranger writes costs a worker little (L-3).

An expression names what it means (`data.files[*].name`), never all there is (`@`). What it takes apart,
repeats or joins is counted while it is evaluated.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

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
from penstock_plugins.pipelines.expressions_paths import ROOTS, Path, value_at
from penstock_plugins.pipelines.model_values import json_value
from penstock_plugins.printable import printable

#: Levels of an expression at most.
_MAX_DEPTH = 32
#: How many times larger than what it is made of a value may be.
_MAX_GROWTH = 64
_MAX_INT_BITS = 64
_PLAIN_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d{1,9}\])*", re.ASCII)
_PARTS = re.compile(r"\w+", re.ASCII)
_CHAINS = frozenset({"subexpression", "index_expression", "pipe"})
_PROJECTIONS = frozenset({"projection", "filter_projection", "value_projection", "flatten"})
_LENIENT = frozenset({"or_expression", "and_expression", "not_expression"})
#: Where `&expression` may stand: the position of it.
_EXPREF_OF = {"group_by": 1, "map": 0, "max_by": 1, "min_by": 1, "sort_by": 1}
_EXPREF = f"&expression is for {', '.join(_EXPREF_OF)} only"


class _Found(NamedTuple):
    path: Path
    #: Whether nothing at its end is an error.
    required: bool


class Reference:
    """One expression, compiled.

    Args:
        text: it.

    Raises:
        ValueError: it is none, or could cost too much.
    """

    __slots__ = ("_ast", "certain", "paths", "plain")

    def __init__(self, text: str) -> None:
        self._ast: Any = None
        #: The ways that must lead somewhere.
        self.certain: tuple[Path, ...]
        #: Every way from a root that it names.
        self.paths: tuple[Path, ...]
        #: The way that is all of it. None: it is more than a way.
        self.plain: Path | None = None
        if _PLAIN_PATH.fullmatch(text):
            self.plain = tuple(int(part) if part[0].isdigit() else part for part in _PARTS.findall(text))
            _check_root(self.plain[0])
            self.paths = self.certain = (self.plain,)
            return
        self._ast = _parse(text)
        ways = _Ways()
        if self._ast["type"] == "expref":
            raise ValueError(_EXPREF)
        ways.use(self._ast, (), True, 0)
        found = ways.found
        self.paths = tuple(each.path for each in found)
        self.certain = tuple(each.path for each in found if each.required)
        if _growth(self._ast) > _MAX_GROWTH:
            raise ValueError(f"it repeats its values more than {_MAX_GROWTH} times")

    def read(self, env: Mapping[str, Any], budget: Budget) -> Any:
        """Its value, which may be a part of what was given: treat both as frozen.

        Raises:
            MissingPathError: a way that it names leads nowhere.
            TooLargeError: it would cost too much.
            ValueError: it has no value; says why.
        """
        if self.plain is not None:
            return value_at(self.plain, env)
        for path in self.certain:
            value_at(path, env)
        try:
            return _Interpreter(budget).visit(self._ast, env)
        except JMESPathError:  # its own words hold the value, however large
            raise ValueError("a function has a value that it does not take") from None
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            if isinstance(error, TooLargeError):
                raise
            raise ValueError("it cannot be evaluated with these values") from None


def _parse(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of literals that are no JSON
            return jmespath.compile(text).parsed
    except (JMESPathError, Warning, ValueError) as error:
        raise ValueError(f"it is no JMESPath: {printable(' '.join(str(error).split()))}") from None
    except (RecursionError, TypeError, LookupError, AttributeError):
        raise ValueError("it is no JMESPath") from None


def _check_root(name: object) -> None:
    if name not in ROOTS:
        raise ValueError(f"there is no {printable(name, 80)!r}; there are {', '.join(ROOTS)}")


class _Ways:
    """Finds every way from a root by following what each part of the expression sees."""

    def __init__(self) -> None:
        self.found: list[_Found] = []

    def use(self, node: Any, sees: Path | None, required: bool, depth: int) -> None:
        """A part whose value is used as it is."""
        path = self.follow(node, sees, required, depth)
        if path:
            self.found.append(_Found(path, required))

    def follow(self, node: Any, sees: Path | None, required: bool, depth: int) -> Path | None:
        """The way to a part's value. None: it is made, or in an element of a list.

        Args:
            node: the part.
            sees: the way to what it is applied to; () is all the roots. None: it is not known.
            required: whether nothing at the end is an error.
            depth: how deep the part is.

        Raises:
            ValueError: it may not be used.
        """
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
        kind, children = node["type"], node["children"]
        if sees == () and kind in {"current", "identity", "index", "slice"}:
            raise ValueError(f"it must name what it means: {', '.join(ROOTS)}")
        if kind in {"current", "identity"}:
            return sees
        if kind in {"field", "index"}:
            if sees == ():
                _check_root(node["value"])
            return None if sees is None else (*sees, node["value"])
        if kind in _CHAINS:
            for child in children:
                sees = self.follow(child, sees, required, depth + 1)
            return sees
        if kind == "slice":  # its children are numbers
            if sees:
                self.found.append(_Found(sees, required))
        elif kind == "literal":
            json_value(node["value"])  # JSON's readers do not agree on all numbers
        elif kind in _PROJECTIONS:
            base, *applied = children
            self.use(base, sees, required, depth + 1)
            for child in applied:
                self.follow(child, None, required, depth + 1)
        else:
            self._operands(node, sees, required, depth)
        return None

    def _operands(self, node: Any, sees: Path | None, required: bool, depth: int) -> None:
        kind, children = node["type"], node["children"]
        name = node["value"] if kind == "function_expression" else None
        if name is not None and name not in PipelineFunctions.FUNCTION_TABLE:
            raise ValueError(f"there is no function {printable(name, 80)}()")
        lenient = kind in _LENIENT or name == "not_null"
        for position, child in enumerate(children):
            if child["type"] != "expref":
                self.use(child, sees, required and not lenient, depth + 1)
            elif name is not None and _EXPREF_OF.get(name) == position:
                self.follow(child["children"][0], None, required, depth + 1)
            else:
                raise ValueError(_EXPREF)


def _growth(node: Any) -> int:
    """How many times larger than what it is made of a value may be, at most."""
    kind = node["type"]
    if kind in {"slice", "literal", "field", "index", "current", "identity"}:
        return 1
    inner = [_growth(child) for child in node["children"]]
    if kind in _CHAINS or kind in _PROJECTIONS or kind == "expref":
        return min(math.prod(inner), _MAX_GROWTH + 1)
    if kind in {"or_expression", "and_expression"}:
        return max(inner)
    return max(sum(inner), 1)


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
            isinstance(made, int) and made.bit_length() > _MAX_INT_BITS
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
