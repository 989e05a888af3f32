"""Params as the JSON text that travels: written once, and opaque to everything up to the guest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson

from penstock_plugins.errors import ParamsError
from penstock_scheduler.toolbox import ToolUse

#: What a `map` does with a row that is not fit for the tool: see `row_encoder`.
OnInvalid = Literal["record", "stop"]


def encode(use: ToolUse, params: Mapping[str, Any]) -> bytes:
    """The JSON text of params that fit the tool's schema and limit.

    What is checked is what the guest will read: a tuple counts as an array, a datetime as its text.

    Raises:
        ParamsError: they do not fit, are too large or are no JSON; `details["errors"]` has every violation.
    """
    text = _dump(params)
    _check_size(use, text)
    use.schema.check(orjson.loads(text))
    return text


def row_encoder(use: ToolUse, on_invalid: OnInvalid, *, first: int) -> Callable[[Any], bytes]:
    """What makes the JSON text of each row of a `map`.

    Args:
        use: the tool.
        on_invalid: "stop" ends the input at the first row that does not fit the tool's schema. "record" sends
            the row: the worker, which checks again in any case, records its VALIDATION_ERROR, and the
            other rows go on. A row that cannot travel (too large, no JSON) is replaced by a JSON text that
            says why; since that is no object, it fails in the same way.
        first: index of the first row, for messages.
    """
    if on_invalid == "record":
        return lambda params: _sendable(use, params)
    index = first - 1

    def strict(params: Any) -> bytes:
        nonlocal index
        index += 1
        try:
            return encode(use, params)
        except ParamsError as error:
            raise ParamsError(f"Input {index}: {error.message}", {**error.details, "index": index}) from error

    return strict


def _sendable(use: ToolUse, params: Any) -> bytes:
    try:
        text = _dump(params)
        _check_size(use, text)
    except ParamsError as error:
        return orjson.dumps(f"Not sent: {error.message}")
    return text


def _dump(params: Any) -> bytes:
    try:
        return orjson.dumps(params)
    except (TypeError, ValueError) as error:  # orjson's own error is a TypeError
        raise _refused(f"the params are no JSON: {error}") from error


def _check_size(use: ToolUse, text: bytes) -> None:
    if len(text) > use.params_bytes:
        raise _refused(
            f"the params have {len(text)} bytes as JSON; the tool takes {use.params_bytes} "
            "(its plugin's params_bytes, at most the operator's)"
        )


def _refused(message: str) -> ParamsError:
    return ParamsError(message, {"errors": [{"path": "$", "message": message}]})
