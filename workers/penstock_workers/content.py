"""What a guest returned, read as the result of a call: data, or a failure in its own words."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import orjson

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.nesting import MAX_NESTING, nests_too_deep
from penstock_plugins.result import ToolFailure
from penstock_workers.text import clean, cut

#: What a guest returned: its text, and the JSON values that it says.
Content: TypeAlias = tuple[bytes, Any]

#: Codes that a guest may give its own failure; any other is EXECUTION_ERROR.
_HONOURED = {
    code.value: code
    for code in (
        ErrorCode.RATE_LIMIT,
        ErrorCode.DEPENDENCY_ERROR,
        ErrorCode.NOT_FOUND,
        ErrorCode.VALIDATION_ERROR,
    )
}

#: Bytes of an output that is no JSON which the failure shows.
RAW_BYTES = 4096
#: Bytes of the details that a guest gives with its failure.
DETAILS_BYTES = 16 * 1024
#: The longest wait that a guest may ask for.
RETRY_AFTER_MAX_S = 86_400.0


def read_content(content: bytes, *, is_error: bool) -> Content | ToolFailure:
    """The content, which was checked to be JSON, or the failure that it stands for."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return _invalid(f"The guest's output is not JSON: {error}", content)
    brackets = content.count(b"[") + content.count(b"{") if len(content) > MAX_NESTING else 0
    if brackets > MAX_NESTING and nests_too_deep(value):
        return _invalid(f"The guest's output is nested more than {MAX_NESTING} levels deep", content)
    return read_failure(value) if is_error else (content, value)


def _invalid(message: str, content: bytes) -> ToolFailure:
    shown = content[:RAW_BYTES].decode(errors="ignore")
    return ToolFailure(code=ErrorCode.INVALID_OUTPUT, message=message, details={"output": shown})


def read_failure(value: Any) -> ToolFailure:
    """The failure that a guest reports: `{code?, message, retry_after_s?, details?}`, or anything else."""
    if not isinstance(value, dict):
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        return ToolFailure(code=ErrorCode.EXECUTION_ERROR, message=clean(text) or "The tool failed")
    details = _details(value.get("details"))
    reported = value.get("code")
    code = _HONOURED.get(reported, ErrorCode.EXECUTION_ERROR) if isinstance(reported, str) else None
    if isinstance(reported, str) and reported not in _HONOURED and reported != ErrorCode.EXECUTION_ERROR:
        details["reported_code"] = clean(reported, 64)
    wait_s = value.get("retry_after_s")
    if isinstance(wait_s, int | float) and not isinstance(wait_s, bool) and math.isfinite(wait_s):
        details["retry_after_s"] = min(max(float(wait_s), 0.0), RETRY_AFTER_MAX_S)
    message = value.get("message")
    return ToolFailure(
        code=code or ErrorCode.EXECUTION_ERROR,
        message=clean(message) if isinstance(message, str) and message else "The tool failed",
        details=details or None,
    )


def _details(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    text = orjson.dumps(given)
    if len(text) > DETAILS_BYTES:
        return {"details": cut(text.decode(), DETAILS_BYTES)}
    return dict(given) if isinstance(given, dict) else {"details": given}
