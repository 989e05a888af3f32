"""The session and request context that travels with a call (X-1): plain JSON values, never code."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from penstock_plugins.errors import ConfigurationError, LoopLimitError

#: A call that was submitted by a call … this many times is the deepest that may be submitted (X-2).
MAX_CHAIN_DEPTH = 8
#: Bytes of each context as JSON: it travels with every batch.
MAX_CONTEXT_BYTES = 64 * 1024


def request_context(given: Mapping[str, Any] | None, *, now_ms: int) -> dict[str, Any]:
    """What the caller said about the request, with what it left out filled in.

    Returns:
        `{request_id, timestamp (ms), initiator {kind, id?}, chain_depth, dry_run, parent_request_id?, …}`.

    Raises:
        LoopLimitError: calls that submit calls went too deep.
        ConfigurationError: it is no JSON object, or too large.
    """
    context = {
        "request_id": uuid.uuid4().hex,
        "timestamp": now_ms,
        "initiator": {"kind": "user"},
        "chain_depth": 0,
        "dry_run": False,
        **plain(given or {}, "request"),
    }
    depth = context["chain_depth"]
    if not isinstance(depth, int) or isinstance(depth, bool) or depth < 0:
        raise ConfigurationError(f"request.chain_depth must be a whole number, got {depth!r}")
    if depth > MAX_CHAIN_DEPTH:
        raise LoopLimitError(
            f"Calls submitted calls {depth} times over; {MAX_CHAIN_DEPTH} are allowed", {"chain_depth": depth}
        )
    return context


def plain(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A context as the plain JSON values that will be read on the other side.

    Raises:
        ConfigurationError: it is no JSON object, or too large.
    """
    try:
        text = orjson.dumps(dict(given))
    except (TypeError, ValueError) as error:  # orjson's own error is a TypeError
        raise ConfigurationError(f"{name} must be made of plain JSON values: {error}") from error
    if len(text) > MAX_CONTEXT_BYTES:
        raise ConfigurationError(f"{name} has {len(text)} bytes as JSON; {MAX_CONTEXT_BYTES} are allowed")
    values: dict[str, Any] = orjson.loads(text)
    return values
