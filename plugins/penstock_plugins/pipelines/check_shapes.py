"""What is known of a value before it is there: its type, its keys, or all of it.

A shape is a JSON value whose parts may also be shapes: `UNKNOWN`, `Some` (its type), `Table` (its keys),
`ListOf` (its elements). So a value that is written out is its own shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, TypeAlias

#: JSON, with shapes inside.
Shape: TypeAlias = Any

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


class Special(Enum):
    """What is no value."""

    #: Nothing is known.
    UNKNOWN = auto()
    #: There is nothing there, for certain.
    NOTHING = auto()


UNKNOWN: Final = Special.UNKNOWN
NOTHING: Final = Special.NOTHING


@dataclass(frozen=True, slots=True)
class Some:
    """A value of one type: of JSON Schema's names, as `string`."""

    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """An object of which some keys are known."""

    keys: Mapping[str, Shape] = field(default_factory=dict)
    #: Those that are there for certain.
    required: frozenset[str] = frozenset()
    #: Whether it has no other keys.
    closed: bool = False


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of elements of one shape."""

    element: Shape


def type_of(shape: Shape) -> str | None:
    """JSON Schema's name of its type. None: not known."""
    if isinstance(shape, Special):
        return None
    if isinstance(shape, Some):
        return shape.type
    if isinstance(shape, Table | dict):
        return "object"
    return "array" if isinstance(shape, ListOf | list) else _TYPES.get(type(shape))


def part_of(shape: Shape, part: str | int) -> Shape:
    """What a name or a position in it leads to."""
    if isinstance(shape, Special):
        return shape
    if isinstance(shape, Table) and isinstance(part, str):
        if part in shape.keys:
            return shape.keys[part]
        return NOTHING if shape.closed else UNKNOWN
    if isinstance(shape, dict) and isinstance(part, str):
        return shape.get(part, NOTHING)
    if isinstance(shape, ListOf) and isinstance(part, int):
        return shape.element
    if isinstance(shape, list) and isinstance(part, int):
        return shape[part] if -len(shape) <= part < len(shape) else NOTHING
    if isinstance(shape, Some) and shape.type == {str: "object", int: "array"}[type(part)]:
        return UNKNOWN
    return NOTHING


def keys_of(shape: Shape) -> list[str]:
    """The keys that are known."""
    if isinstance(shape, Table):
        return sorted(shape.keys)
    return sorted(shape) if isinstance(shape, dict) else []


def either(one: Shape, other: Shape) -> Shape:
    """What is known of a value that is the one or the other."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return {key: either(value, other[key]) for key, value in one.items()}
    # Python takes 1, 1.0 and true for equal, also inside of lists: their elements one by one.
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [either(*both) for both in zip(one, other, strict=True)]
    if one is other or (type(one) is type(other) and one == other):
        return one
    if (kind := type_of(one)) is not None and kind == type_of(other):
        return Some(kind)
    return UNKNOWN


def element_of(shape: Shape) -> Shape:
    """What is known of each element of a list."""
    if isinstance(shape, ListOf):
        return shape.element
    if not isinstance(shape, list) or not shape:
        return UNKNOWN
    found = shape[0]
    for element in shape[1:]:
        found = either(found, element)
    return found


def of_schema(schema: Any) -> Shape:
    """What a JSON Schema says of its values, as far as it says it plainly."""
    if not isinstance(schema, dict):
        return UNKNOWN
    kind = schema.get("type")
    if kind == "object":
        keys = schema.get("properties")
        required = schema.get("required")
        return Table(
            keys={key: of_schema(inner) for key, inner in keys.items()} if isinstance(keys, dict) else {},
            required=frozenset(required) if isinstance(required, list) else frozenset(),
            closed=schema.get("additionalProperties") is False
            and not {"patternProperties", "allOf", "anyOf", "oneOf", "$ref"} & schema.keys(),
        )
    if kind == "array" and "prefixItems" not in schema:
        return ListOf(of_schema(schema.get("items")))
    return Some(kind) if isinstance(kind, str) else UNKNOWN
