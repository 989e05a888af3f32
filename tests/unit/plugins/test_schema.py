"""Params are checked against the tool's schema, every violation with its path."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ManifestError, ParamsError
from penstock_plugins.schema import MAX_VIOLATIONS, ParamsSchema, check_schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "rows": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "odd key": {"type": "null"},
    },
    "required": ["text"],
    "additionalProperties": False,
}


def test_params_that_fit_are_let_through() -> None:
    """Silently."""
    schema = ParamsSchema(SCHEMA)

    schema.check({"text": "hello", "rows": [{"n": 1}], "odd key": None})

    assert schema.violations({"text": ""}) == []


def test_T4_every_violation_is_listed_with_its_path() -> None:
    """Not the first only; the path says where, down to the item of a list."""
    params = {"rows": [{"n": 1}, {"n": "two"}], "odd key": 3, "extra": True}

    with pytest.raises(ParamsError) as caught:
        ParamsSchema(SCHEMA).check(params)

    errors = caught.value.details["errors"]
    assert sorted(error["path"] for error in errors) == ["$", "$", "$.rows[1].n", '$["odd key"]']
    assert all(set(error) == {"path", "message"} for error in errors)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert caught.value.recoverable
    assert "; and 1 more" in str(caught.value)


def test_a_great_many_violations_are_counted_no_further_than_the_cap() -> None:
    """A result has to hold them."""
    with pytest.raises(ParamsError, match="and at least 97 more") as caught:
        ParamsSchema({"type": "object", "additionalProperties": {"type": "null"}}).check(
            {str(number): 1 for number in range(5 * MAX_VIOLATIONS)}
        )

    assert len(caught.value.details["errors"]) == MAX_VIOLATIONS


def test_a_violation_that_quotes_a_long_value_is_cut_and_printable() -> None:
    """Messages end in terminals and logs."""
    (violation,) = ParamsSchema({"type": "object", "properties": {"n": {"type": "integer"}}}).violations(
        {"n": "\x1b]0;owned\x07" + "x" * 10_000}
    )

    assert len(violation["message"]) < 400
    assert violation["message"].isprintable()


@pytest.mark.parametrize("params", [None, 3, "text", [], [{}], True])
def test_params_are_an_object(params: object) -> None:
    """Whatever else is JSON is refused by the schema itself."""
    with pytest.raises(ParamsError, match="object"):
        ParamsSchema({"type": "object"}).check(params)


def test_what_cannot_be_json_is_refused_as_params() -> None:
    """And not as an error of the library that checks."""
    with pytest.raises(ParamsError, match="no JSON"):
        ParamsSchema({"type": "object"}).check({1: 2})


@pytest.mark.parametrize(
    "parameters",
    [
        None,
        [],
        "object",
        {},
        {"type": "array"},
        {"type": ["object", "null"]},
        {"type": "object", "properties": []},
        {"type": "object", "required": "text"},
        {"type": "object", "properties": {"a": {"type": "strong"}}},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/missing"}}},
        {"type": "object", "default": 10**30},
        {"type": "object", 1: 2},
    ],
)
def test_W1_what_is_no_schema_of_params_is_refused(parameters: object) -> None:
    """A schema whose type is object, and that can travel."""
    with pytest.raises(ManifestError):
        check_schema(parameters)


@pytest.mark.parametrize("uri", ["https://example.com/s.json", "file:///etc/passwd", "other.json"])
def test_references_to_other_documents_are_not_followed(uri: str) -> None:
    """Neither over the network nor on the disk: the schema comes from a guest."""
    with pytest.raises(ManifestError, match=r"not followed|No base URI"):
        check_schema({"type": "object", "properties": {"a": {"$ref": uri}}})


def test_a_schema_that_nests_too_deeply_is_refused() -> None:
    """It could neither be compiled nor travel."""
    schema: dict[str, Any] = {}
    for _ in range(2000):
        schema = {"properties": {"a": schema}}

    with pytest.raises(ManifestError):
        check_schema({"type": "object", **schema})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_schema_that_refers_to_itself_for_ever_comes_to_an_end(schema: dict[str, Any]) -> None:
    """The process lives, whatever the answer is."""
    ParamsSchema({"type": "object", **schema}).violations({})


def test_a_pattern_that_backtracks_for_ever_is_a_violation() -> None:
    """The schema comes from a guest, and is used outside the sandbox."""
    schema = ParamsSchema({"type": "object", "properties": {"a": {"pattern": r"^(?=a)(a|aa)+\1?$"}}})

    (violation,) = schema.violations({"a": "a" * 200 + "b"})

    assert violation["path"] == "$.a"
    assert "backtracking" in violation["message"]


def test_a_pattern_that_compiles_to_megabytes_is_refused() -> None:
    """As above."""
    with pytest.raises(ManifestError):
        check_schema({"type": "object", "properties": {"a": {"pattern": "(a{100}){1000}"}}})


def test_params_with_the_deepest_nesting_that_json_brings_are_checked() -> None:
    """A schema that refers to itself follows them all the way down."""
    deep = orjson.loads('{"x":' * 1000 + "{}" + "}" * 1000)

    ParamsSchema({"type": "object", "properties": {"x": {"$ref": "#"}}}).check(deep)
