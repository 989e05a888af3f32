"""Templates of plain paths and texts as closures, which read from what there is without a table of roots.

A closure gives the very value that `Template.evaluate` gives, or raises a LookupError, TypeError or
ValueError: then only that can tell. So nothing is said here of paths that lead nowhere, and nothing is
weighed exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from penstock_plugins.pipelines.expressions_bounds import MAX_OUTPUT_BYTES, weigh
from penstock_plugins.pipelines.expressions_jmespath import Reference
from penstock_plugins.pipelines.expressions_paths import Path
from penstock_plugins.pipelines.expressions_template import Template, pieces

#: Reads something of an item, given the item and the result of its step.
Way: TypeAlias = Callable[[Any, Any], Any]
#: What reads the beginning of a path, and the rest of it. None: nothing does.
FindWay: TypeAlias = Callable[[Path], "tuple[Way, Path] | None"]

#: Whole numbers that all writers of JSON write alike.
_SAFE_INT = 1 << 53


class _NotPlainError(Exception):
    """There is more in it than plain paths and texts."""


def quick(template: Template, find: FindWay) -> Way | None:
    """The closure of a template. None: it has more than plain paths and texts."""
    value = template.value
    # As much as each hole may weigh if all of them weigh as much. A hole that is no plain path ends this.
    limit = (MAX_OUTPUT_BYTES - weigh(value, MAX_OUTPUT_BYTES)) // max(len(template.paths), 1)
    try:
        return _of_value(value, find, limit)
    except _NotPlainError:
        return None


def _of_value(value: Any, find: FindWay, limit: int) -> Way:
    if not _has_holes(value):
        return lambda item, result: value
    if isinstance(value, str):
        return _of_text(value, find, limit)
    if isinstance(value, dict):
        return _of_table({key: _of_value(part, find, limit) for key, part in value.items()})
    parts = [_of_value(part, find, limit) for part in value]
    return lambda item, result: [part(item, result) for part in parts]


def _has_holes(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value
    if isinstance(value, dict):
        return any(map(_has_holes, value.values()))
    return isinstance(value, list) and any(map(_has_holes, value))


def _of_table(parts: dict[str, Way]) -> Way:
    if len(parts) == 1:
        [(only, part)] = parts.items()
        return lambda item, result: {only: part(item, result)}
    if len(parts) == 2:
        [(first, one), (second, other)] = parts.items()
        return lambda item, result: {first: one(item, result), second: other(item, result)}
    made = tuple(parts.items())
    return lambda item, result: {key: part(item, result) for key, part in made}


def _of_text(text: str, find: FindWay, limit: int) -> Way:
    parts = [_of_hole(piece.text, find, limit) if piece.is_hole else piece.text for piece in pieces(text)]
    if len(parts) == 1 and not isinstance(parts[0], str):
        return parts[0]

    def joined(item: Any, result: Any) -> str:
        return "".join([part if isinstance(part, str) else _text_of(part(item, result)) for part in parts])

    return joined


def _text_of(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is int and -_SAFE_INT < value < _SAFE_INT:
        return str(value)
    raise TypeError("only the template knows how it is written")


def _of_hole(expression: str, find: FindWay, limit: int) -> Way:
    path = Reference(expression).plain
    found = None if path is None else find(path)
    if found is None:
        raise _NotPlainError
    way, rest = found
    for part in rest:
        way = _element(way, part) if isinstance(part, int) else _field(way, part)

    def read(item: Any, result: Any) -> Any:
        value = way(item, result)
        if type(value) is not str:
            weigh(value, limit)
        elif len(value) > limit:
            raise ValueError("only the template knows whether that is too large")
        return value

    return read


def _field(way: Way, name: str) -> Way:
    return lambda item, result: way(item, result)[name]


def _element(way: Way, number: int) -> Way:
    def element(item: Any, result: Any) -> Any:
        found = way(item, result)
        if type(found) is not list:  # a text has characters, and no elements
            raise TypeError("no list")
        return found[number]

    return element
