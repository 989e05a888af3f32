"""Items of a flow as one text: small ones in it, large ones beside it."""

from __future__ import annotations

import orjson
import pytest

from penstock_broker_config.flow_items import pack_items, unpack_items
from penstock_broker_config.value_references import INLINE_BYTES, is_reference, refer
from penstock_plugins.errors import EnvelopeError


def test_what_is_packed_is_unpacked_and_only_large_states_are_kept_elsewhere() -> None:
    """In their order."""
    kept: dict[bytes, bytes] = {}

    def put(value: bytes) -> bytes:
        kept[refer(value)] = value
        return refer(value)

    states = [{"n": 1}, {"text": "x" * INLINE_BYTES}, [], {"n": "@sha256"}]

    packed = pack_items([orjson.dumps(state) for state in states], put)

    assert unpack_items(packed, kept.__getitem__) == states
    assert len(kept) == 1
    assert all(map(is_reference, kept))
    assert len(packed) < INLINE_BYTES


@pytest.mark.parametrize("damaged", [b"", b"{}", b"[", b"\xff", b"null"])
def test_what_is_no_list_of_items_is_refused(damaged: bytes) -> None:
    """It comes from a Redis that others may write to."""
    with pytest.raises(EnvelopeError, match="items"):
        unpack_items(damaged, lambda reference: reference)
