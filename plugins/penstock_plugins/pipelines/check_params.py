"""Whether what a step gives to a tool can fit the tool's schema: what is not known yet, is not judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from penstock_plugins.errors import ManifestError
from penstock_plugins.pipelines.check_shapes import ListOf, Shape, Some, Special, Table, type_of
from penstock_plugins.printable import printable
from penstock_plugins.schema import MAX_VIOLATIONS, ParamsSchema

#: Stands for a value of a type.
_SAMPLES: dict[str, Any] = {
    "string": "",
    "boolean": False,
    "integer": 0,
    "number": 0.5,
    "null": None,
    "array": [],
    "object": {},
}
#: What a schema says of an object's keys and a list's length, whatever is inside.
_ABOUT_THE_OUTSIDE = frozenset(
    {"type", "required", "additionalProperties", "minItems", "maxItems", "minProperties", "maxProperties"}
)
#: What makes a schema depend on other parts of the value.
_CONDITIONS = frozenset({"then", "else", "not", "dependentSchemas"})
_Location = tuple[str | int, ...]


def cannot_fit(shape: Shape, parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Why params of this shape can never fit a schema: the way to each part that cannot, and why.

    A sample is checked; of what the schema says to it, that is left out which is not certain of the real one.
    """
    if isinstance(shape, Special):
        return
    unknown: dict[_Location, frozenset[str]] = {}
    sample = _sample(shape, (), unknown)
    try:
        found = list(islice(ParamsSchema(parameters).errors(sample), MAX_VIOLATIONS))
    except (ManifestError, ValueError):  # which is said where the schema is read
        return
    for error in found:
        location = tuple(error.instance_path)
        kind = str(error.kind.name)
        if not _is_certain(location, kind, error, unknown):
            continue
        if kind == "type" and _is_known_in_part(location, unknown):
            wanted = " or ".join(sorted(getattr(error.kind, "types", ())))
            yield _spelled(location), f"it is of type {type_of(error.instance)}, and must be of type {wanted}"
        else:
            yield _spelled(location), printable(error.message, 300)


def _sample(shape: Shape, at: _Location, unknown: dict[_Location, frozenset[str]]) -> Any:
    """A value of a shape.

    Args:
        shape: what is known.
        at: the way to it.
        unknown: gets the ways to what is not known, each with the words of a schema that hold all the same.
    """
    if isinstance(shape, Special):
        unknown[at] = frozenset()
        return None
    if isinstance(shape, Some):
        unknown[at] = frozenset({"type"})
        return _SAMPLES.get(shape.type)
    if isinstance(shape, ListOf):
        unknown[at] = frozenset({"type"})
        return []
    if isinstance(shape, Table):
        unknown[at] = frozenset({"type", "required"} if shape.closed else {"type"})
        made = {}
        for key, inner in shape.keys.items():
            if key in shape.required:
                made[key] = _sample(inner, (*at, key), unknown)
            else:
                unknown[*at, key] = frozenset()
                made[key] = None
        return made
    if isinstance(shape, dict):
        return {key: _sample(inner, (*at, key), unknown) for key, inner in shape.items()}
    if isinstance(shape, list):
        return [_sample(inner, (*at, number), unknown) for number, inner in enumerate(shape)]
    return shape


def _is_certain(
    location: _Location, kind: str, error: Any, unknown: Mapping[_Location, frozenset[str]]
) -> bool:
    """Whether what is said of the sample holds for every value of its shape."""
    if unknown and not _CONDITIONS.isdisjoint(error.schema_path):
        return False
    if (holds := unknown.get(location)) is not None:
        if kind == "type" and type_of(error.instance) == "number" and "integer" in error.kind.types:
            return False  # 3.0 is one
        # The sample has keys that the real one may not have, and which ask for others.
        return kind in holds and "dependentRequired" not in error.schema_path
    return kind in _ABOUT_THE_OUTSIDE or not _is_known_in_part(location, unknown)


def _is_known_in_part(location: _Location, unknown: Mapping[_Location, frozenset[str]]) -> bool:
    return any(way[: len(location)] == location for way in unknown)


def _spelled(location: _Location) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{printable(part, 80)}" for part in location)
