"""Output of guests is JSON, or a failure in no more than its own words."""

from __future__ import annotations

import orjson
import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure
from penstock_workers.content import read_content


def failure(said: object) -> ToolFailure:
    """What becomes of a failure that a guest reports."""
    content = read_content(orjson.dumps(said), is_error=True)
    assert isinstance(content, ToolFailure)
    return content


def test_content_is_kept_as_it_was_written() -> None:
    """It is checked to be JSON, and not written anew."""
    text = b' {"b": 1,\n "a": 1e3} '

    assert read_content(text, is_error=False) == (text, {"b": 1, "a": 1000.0})


def test_text_that_is_no_json_is_shown_in_part() -> None:
    """The raw output is in the details, capped."""
    content = read_content(b"x" * 10_000, is_error=False)

    assert isinstance(content, ToolFailure)
    assert content.code is ErrorCode.INVALID_OUTPUT
    assert content.details == {"output": "x" * 4096}


def test_brackets_inside_strings_are_no_nesting() -> None:
    """What looks deep is measured before it is refused."""
    content = orjson.dumps("[" * 2000)

    assert read_content(content, is_error=False) == (content, "[" * 2000)


@pytest.mark.parametrize("is_error", [False, True])
def test_output_that_is_nested_too_deep_is_none(is_error: bool) -> None:
    """What a step gives can be kept, whatever is around it then."""
    fits, deep = b"[" * 128 + b"]" * 128, b"[" * 129 + b"]" * 129

    assert not isinstance(read_content(fits, is_error=False), ToolFailure)
    content = read_content(deep, is_error=is_error)

    assert isinstance(content, ToolFailure)
    assert content.code is ErrorCode.INVALID_OUTPUT
    assert content.message == "The guest's output is nested more than 128 levels deep"


@pytest.mark.parametrize("code", ["RATE_LIMIT", "DEPENDENCY_ERROR", "NOT_FOUND", "VALIDATION_ERROR"])
def test_four_codes_are_a_guests_to_give(code: str) -> None:
    """They say something about the call that only the tool knows."""
    said = failure({"code": code, "message": "no", "details": {"id": 7}, "retry_after_s": 2})

    assert said == ToolFailure(code=ErrorCode(code), message="no", details={"id": 7, "retry_after_s": 2.0})


@pytest.mark.parametrize("code", ["TIMEOUT", "CANCELLED", "QUARANTINED", "nonsense", "\x1b[2J"])
def test_all_other_codes_are_execution_errors(code: str) -> None:
    """A tool whose own code is TIMEOUT did not time out; what it said is kept aside."""
    said = failure({"code": code, "message": "Timeout"})

    assert said.code is ErrorCode.EXECUTION_ERROR
    assert said.details is not None
    assert said.details["reported_code"].isprintable()


@pytest.mark.parametrize(
    ("wait", "kept"),
    [(-1, {"retry_after_s": 0.0}), (1e9, {"retry_after_s": 86_400.0}), ("soon", None), (True, None)],
)
def test_wait_is_bounded(wait: object, kept: object) -> None:
    """Nobody waits a negative time, or for years."""
    assert failure({"message": "x", "retry_after_s": wait}).details == kept


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("as a text", "as a text"),
        ([1, 2], "[1,2]"),
        (None, "null"),
        ({}, "The tool failed"),
        ("", "The tool failed"),
    ],
)
def test_failure_of_another_shape_is_still_one(said: object, message: str) -> None:
    """Whatever an erring guest returns is a failure with some words."""
    assert failure(said) == ToolFailure(code=ErrorCode.EXECUTION_ERROR, message=message)


def test_details_are_bounded() -> None:
    """Long details are kept as the beginning of their text."""
    said = failure({"message": "x", "details": ["y" * 50_000]})

    assert said.details is not None
    assert said.details["details"].startswith('["yyy')
    assert len(said.details["details"]) == 16 * 1024
