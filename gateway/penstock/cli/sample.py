"""Params that fit a schema as well as can be guessed, for the dry call of `penstock plugin check`. Pure.

A guess: examples, defaults and enumerations first, else the smallest value of the type. Patterns and formats
are not solved; the schema's own check says whether the guess is good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Nested deeper than this, a guess stops to be one.
_DEEPEST = 12


def sample_params(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object with the required properties of a tool's schema."""
    guess = _sample(schema, schema, 0)
    return guess if isinstance(guess, dict) else {}


def _sample(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        return _sample(_at(root, reference), root, depth + 1)
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list) and schema[key] and "type" not in schema:
            return _sample(schema[key][0], root, depth + 1)
    said = schema.get("type", "object" if "properties" in schema else None)
    kind = said[0] if isinstance(said, list) and said else said
    return _of_kind(kind, schema, root, depth)


def _of_kind(kind: Any, schema: dict[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties") or {}
            return {
                name: _sample(properties.get(name, {"type": "string"}), root, depth + 1)
                for name in schema.get("required") or ()
            }
        case "array":
            return [_sample(schema.get("items"), root, depth + 1)] * int(schema.get("minItems", 0))
        case "string":
            text = "text"
            return (text * (int(schema.get("minLength", 0)) // len(text) + 1))[
                : max(
                    int(schema.get("minLength", 0)), min(len(text), int(schema.get("maxLength", len(text))))
                )
            ]
        case "integer" | "number":
            low = schema.get("minimum", schema.get("exclusiveMinimum"))
            if low is None:
                return min(1, schema.get("maximum", 1))
            return low if "minimum" in schema else low + 1
        case "boolean":
            return False
        case _:
            return None


def _at(root: Mapping[str, Any], reference: str) -> Any:
    found: Any = root
    for step in reference[2:].split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found
