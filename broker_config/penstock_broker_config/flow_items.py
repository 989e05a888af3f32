"""The items of a flow as one text: each state as it is, or a reference to where a large one is kept. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from penstock_broker_config.value_references import INLINE_BYTES
from penstock_plugins.errors import EnvelopeError


def item_context(run: str, index: int) -> str:
    """What the state of a failed item is sealed for, from which another run may go on; it is packed alone."""
    return f"item {index} of run {run}"


def pack_items(states: Sequence[bytes], put: Callable[[bytes], bytes]) -> bytes:
    """One text for all.

    Args:
        states: of each item, as JSON text.
        put: keeps a large value of the run; returns its reference.
    """
    return orjson.dumps(
        [orjson.Fragment(state) if len(state) <= INLINE_BYTES else put(state).decode() for state in states]
    )


def unpack_items(packed: bytes, get: Callable[[bytes], bytes]) -> list[Any]:
    """The states, as JSON values.

    Args:
        packed: what `pack_items` wrote.
        get: the value that a reference stands for; what it raises goes through.

    Raises:
        EnvelopeError: these are no items.
    """
    try:
        found = orjson.loads(packed)
        if not isinstance(found, list):
            raise EnvelopeError("The flow's items are no JSON array")
        return [orjson.loads(get(state.encode())) if isinstance(state, str) else state for state in found]
    except orjson.JSONDecodeError as error:
        raise EnvelopeError("The flow's items are not JSON") from error
