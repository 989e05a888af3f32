"""What a JMESPath expression names, and whether it may be used: read from its syntax tree, once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import orjson

from penstock_plugins.pipelines.expressions_functions import PipelineFunctions
from penstock_plugins.pipelines.expressions_paths import ROOTS, Path, check_root
from penstock_plugins.pipelines.model_values import json_value
from penstock_plugins.printable import printable

#: Levels of an expression at most.
_MAX_DEPTH = 32
#: How many times larger than what it is made of a value may be.
_MAX_GROWTH = 64
_CHAINS = frozenset({"subexpression", "index_expression", "pipe"})
_PROJECTIONS = frozenset({"projection", "filter_projection", "value_projection", "flatten"})
_LENIENT = frozenset({"or_expression", "and_expression", "not_expression"})
#: Where `&expression` may stand: the position of it.
_EXPREF_OF = {"group_by": 1, "map": 0, "max_by": 1, "min_by": 1, "sort_by": 1}
_EXPREF = f"&expression is for {', '.join(_EXPREF_OF)} only"


class Way(NamedTuple):
    """A way from a root that an expression names."""

    path: Path
    #: Whether nothing at its end is an error.
    required: bool


def ways_of(tree: Any) -> list[Way]:
    """Every way from a root that an expression names.

    Raises:
        ValueError: it may not be used, or could cost too much.
    """
    if tree["type"] == "expref":
        raise ValueError(_EXPREF)
    ways = _Ways()
    ways.use(tree, (), True, 0)
    if _growth(tree) > _MAX_GROWTH:
        raise ValueError(f"it repeats its values more than {_MAX_GROWTH} times")
    return ways.found


class _Ways:
    """Finds every way from a root by following what each part of the expression sees."""

    def __init__(self) -> None:
        self.found: list[Way] = []

    def use(self, node: Any, sees: Path | None, required: bool, depth: int) -> None:
        """A part whose value is used as it is."""
        path = self.follow(node, sees, required, depth)
        if path:
            self.found.append(Way(path, required))

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
                check_root(node["value"])
            return None if sees is None else (*sees, node["value"])
        if kind in _CHAINS:
            for child in children:
                sees = self.follow(child, sees, required, depth + 1)
            return sees
        if kind == "slice":  # its children are numbers
            if sees:
                self.found.append(Way(sees, required))
        elif kind == "literal":
            _check_value(node["value"])
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
        if kind == "key_val_pair":
            _check_value(node["value"])
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


def _check_value(value: Any) -> None:
    """Refuse a value that is written out and cannot travel: JSON's readers do not agree on all numbers.

    Raises:
        ValueError: it cannot.
    """
    json_value(value)
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"it cannot travel as JSON: {error}") from error


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
