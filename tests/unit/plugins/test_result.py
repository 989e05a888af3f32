"""Results: whole on their way through the ledger, and in the shape that programs read."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ERROR_CLASSES, ToolError
from penstock_plugins.result import (
    ResultMetadata,
    ToolFailure,
    ToolResult,
    from_record,
    rounded_ms,
    to_record,
)

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
DIGEST = "d" * 64
#: The contract's list, without `fuel`.
PROMISED = {
    *("execution_ms", "queued_ms", "attempts", "cached", "fallback", "dry_run"),
    *("worker", "plugin_digest", "logs", "denied", "truncated"),
}
FAILURES = st.builds(
    ToolFailure,
    code=st.sampled_from(ErrorCode),
    message=TEXT,
    details=st.none() | st.dictionaries(TEXT, JSON, min_size=1, max_size=3),
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "execution_ms": st.floats(0, 1e6),
        "queued_ms": st.floats(0, 1e6),
        "attempts": st.integers(1, 10),
        "cached": st.booleans(),
        "worker": TEXT,
        "fuel": st.integers(0, 2**53),
        "logs": st.lists(st.fixed_dictionaries({"level": TEXT, "message": TEXT}), max_size=3),
        "logs_dropped": st.integers(0, 10),
        "denied": st.lists(TEXT, max_size=3),
        "truncated": st.booleans(),
    },
)


@given(content=JSON, metadata=METADATA)
def test_a_success_comes_back_from_the_ledger_as_it_went_in(content: Any, metadata: dict[str, Any]) -> None:
    """Any JSON data, any metadata; what the reader knows is added."""
    record = to_record(content=orjson.dumps(content), error=None, metadata=metadata)

    result = from_record(record, call_id="j.3", tool="text.stats", index=3, plugin_digest=DIGEST)

    assert result == ToolResult(
        call_id="j.3",
        tool="text.stats",
        success=True,
        data=content,
        metadata=ResultMetadata(**metadata, plugin_digest=DIGEST),
        index=3,
    )


@given(failure=FAILURES, metadata=METADATA)
def test_a_failure_comes_back_from_the_ledger_as_it_went_in(
    failure: ToolFailure, metadata: dict[str, Any]
) -> None:
    """Every code, any message and details."""
    record = to_record(content=None, error=failure, metadata=metadata)

    result = from_record(record, call_id="j.0", tool="text.stats", index=None)

    assert (result.success, result.data, result.error) == (False, None, failure)
    assert result.metadata == ResultMetadata(**metadata)


def test_no_content_is_the_data_null() -> None:
    """A tool that has nothing to say has succeeded."""
    result = from_record(to_record(content=None, error=None, metadata={}), call_id="j", tool="t", index=None)

    assert (result.success, result.data) == (True, None)


@given(trace=st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=3), filtered=st.booleans())
def test_L2_a_pipelines_item_comes_back_with_its_trace(trace: list[dict[str, Any]], filtered: bool) -> None:
    """Also when it was written from a JSON text; and both are in what programs read."""
    as_text = to_record(content=b"1", error=None, metadata={}, trace=orjson.dumps(trace), filtered=filtered)
    as_values = to_record(content=b"1", error=None, metadata={}, trace=trace, filtered=filtered)

    result = from_record(as_text, call_id="j.0", tool="p", index=0)

    assert as_text == as_values
    assert (result.trace, result.filtered) == (trace, filtered)
    assert list(result.to_dict())[-2:] == ["filtered", "trace"]


def test_T2_a_success_has_the_keys_of_the_contract() -> None:
    """`{call_id, tool, success, data, metadata}`: null is data, and an index is there for a row only."""
    result = ToolResult(call_id="j.0", tool="text.stats", success=True)

    shape = orjson.loads(result.to_json())

    assert list(shape) == ["call_id", "tool", "success", "data", "metadata"]
    assert shape["data"] is None
    assert ToolResult(call_id="j.7", tool="t", success=True, index=7).to_dict()["index"] == 7


def test_T2_a_failure_has_its_code_and_whether_it_is_recoverable() -> None:
    """`error` = `{code, message, details?, recoverable}`, and there is no data."""
    error = ToolFailure(code=ErrorCode.TIMEOUT, message="too long")
    told = ToolFailure(code=ErrorCode.TRAP, message="trap", details={"kind": "unreachable"})

    shape = orjson.loads(ToolResult(call_id="j", tool="t", success=False, error=error).to_json())

    assert "data" not in shape
    assert shape["error"] == {"code": "TIMEOUT", "message": "too long", "recoverable": True}
    assert told.to_dict() == {
        "code": "TRAP",
        "message": "trap",
        "details": {"kind": "unreachable"},
        "recoverable": False,
    }


def test_T2_metadata_has_every_field_and_fuel_only_when_metered() -> None:
    """A reader may rely on each key of the contract."""
    always = {f.name for f in fields(ResultMetadata)} - {"fuel"}
    metered = ToolResult(call_id="j", tool="t", success=True, metadata=ResultMetadata(fuel=5))

    assert set(ToolResult(call_id="j", tool="t", success=True).to_dict()["metadata"]) == always
    assert metered.to_dict()["metadata"] == asdict(metered.metadata)
    assert always >= PROMISED


@pytest.mark.parametrize("code", ErrorCode)
def test_T3_a_failure_and_its_exception_are_the_same(code: ErrorCode) -> None:
    """There and back: the class of the code, the message and the details."""
    failure = ToolFailure(code=code, message="It did not work", details={"a": [1]})

    error = failure.to_exception()

    assert type(error) is ERROR_CLASSES[code]
    assert ToolFailure.from_exception(error) == failure


def test_T3_unwrap_gives_the_data_or_raises_the_failure() -> None:
    """For code that prefers exceptions."""
    failure = ToolFailure(code=ErrorCode.NOT_FOUND, message="no such file")

    assert ToolResult(call_id="j", tool="t", success=True, data=[1]).unwrap() == [1]
    with pytest.raises(ToolError, match="no such file") as caught:
        ToolResult(call_id="j", tool="t", success=False, error=failure).unwrap()
    assert caught.value.code is ErrorCode.NOT_FOUND


def test_data_is_written_as_its_text_would_be() -> None:
    """One pass instead of two, and the same record."""
    data, trace = {"b": [1, None], "a": "\u00e9"}, [{"type": "transform"}]
    text = to_record(content=orjson.dumps(data), error=None, metadata={}, trace=orjson.dumps(trace))

    assert to_record(content=None, data=data, error=None, metadata={}, trace=trace) == text


@given(st.floats(0, 1e9))
def test_durations_are_whole_microseconds(duration_ms: float) -> None:
    """The nearest one; and once rounded they stay."""
    rounded = rounded_ms(duration_ms)

    assert abs(rounded - duration_ms) <= 0.000501
    assert rounded_ms(rounded) == rounded
