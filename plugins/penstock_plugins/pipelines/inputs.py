"""Inputs of pipelines, wherever they come from: JSON values, not too large, not nested too deep."""

from __future__ import annotations

from typing import Any

import orjson

from penstock_plugins.errors import ParamsError
from penstock_plugins.nesting import MAX_NESTING, nests_too_deep

#: Bytes of one item's input as JSON at most.
MAX_INPUT_BYTES = 16 * 1024 * 1024


def input_text(given: Any) -> bytes:
    """An input as JSON text.

    Raises:
        ParamsError: it is none, or too large.
    """
    try:
        text = orjson.dumps(given)
    except (TypeError, ValueError) as error:  # orjson's own error is a TypeError
        raise unfit(f"the input is no JSON: {error}") from error
    if len(text) > MAX_INPUT_BYTES:
        raise unfit(f"the input has {len(text)} bytes as JSON; {MAX_INPUT_BYTES} are allowed")
    return text


def input_value(given: Any) -> Any:
    """An input as it is read on the other side: a tuple is an array, a date its text.

    Raises:
        ParamsError: it is no JSON, too large, or nested too deep.
    """
    text = input_text(given)
    value = orjson.loads(text)
    if text.count(b"[") + text.count(b"{") > MAX_NESTING and nests_too_deep(value):
        raise unfit(f"the input is nested more than {MAX_NESTING} levels deep")
    return value


def unfit(message: str) -> ParamsError:
    """An input that cannot be one."""
    return ParamsError(message, {"errors": [{"path": "$", "message": message}]})
