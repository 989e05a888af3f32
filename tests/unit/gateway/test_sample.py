"""Params that fit a schema as well as can be guessed."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from penstock.cli.sample import sample_params


@pytest.mark.parametrize(
    "properties",
    [
        {"a": {"type": "string"}},
        {"a": {"type": "string", "minLength": 9}},
        {"a": {"type": "string", "maxLength": 2}},
        {"a": {"type": "integer", "minimum": 5}},
        {"a": {"type": "number", "exclusiveMinimum": 2, "maximum": 4}},
        {"a": {"type": "integer", "maximum": -3}},
        {"a": {"type": "boolean"}},
        {"a": {"type": "null"}},
        {"a": {"type": ["string", "null"]}},
        {"a": {"enum": ["x", "y"]}},
        {"a": {"const": 7}},
        {"a": {"type": "integer", "default": 3}},
        {"a": {"type": "string", "pattern": "^z+$", "examples": ["zzz"]}},
        {"a": {"type": "array", "items": {"type": "integer"}, "minItems": 2}},
        {"a": {"$ref": "#/$defs/point"}},
        {"a": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
        {"a": {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}},
        {"a": True},
    ],
)
def test_the_guess_fits_the_schema(properties: dict[str, Any]) -> None:
    """Whatever of JSON Schema tools use day by day."""
    schema = {
        "type": "object",
        "required": ["a"],
        "properties": properties,
        "$defs": {"point": {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}},
    }

    params = sample_params(schema)

    jsonschema_rs.validator_for(schema).validate(params)


@pytest.mark.parametrize(
    "schema", [{}, {"type": "string"}, {"required": ["a"]}, {"$ref": "#/nowhere"}, {"$ref": "#"}]
)
def test_an_odd_schema_gives_some_object(schema: dict[str, Any]) -> None:
    """The check of the schema says what is wrong with it, not the guess."""
    assert isinstance(sample_params(schema), dict)
