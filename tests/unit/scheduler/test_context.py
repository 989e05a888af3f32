"""Session and request travel as plain values, and calls may not submit calls for ever."""

from __future__ import annotations

import pytest

from penstock_plugins.errors import ConfigurationError, LoopLimitError
from penstock_scheduler.context import MAX_CHAIN_DEPTH, MAX_CONTEXT_BYTES, plain, request_context


def test_a_request_is_filled_in() -> None:
    """Who, when, how deep."""
    request = request_context(None, now_ms=17)

    assert request["timestamp"] == 17
    assert request["initiator"] == {"kind": "user"}
    assert (request["chain_depth"], request["dry_run"]) == (0, False)
    assert request["request_id"] != request_context(None, now_ms=17)["request_id"]


def test_what_the_caller_says_goes_first() -> None:
    """Also what we do not know."""
    request = request_context(
        {"request_id": "r", "parent_request_id": "p", "chain_depth": 3, "mine": [1]}, now_ms=17
    )

    assert (request["request_id"], request["parent_request_id"]) == ("r", "p")
    assert (request["chain_depth"], request["mine"]) == (3, [1])


def test_past_the_deepest_chain_is_a_loop() -> None:
    """X-2."""
    request_context({"chain_depth": MAX_CHAIN_DEPTH}, now_ms=0)

    with pytest.raises(LoopLimitError):
        request_context({"chain_depth": MAX_CHAIN_DEPTH + 1}, now_ms=0)


@pytest.mark.parametrize("depth", [-1, "2", True, 1.5, None])
def test_a_depth_that_is_no_count_is_refused(depth: object) -> None:
    """It would switch the limit off."""
    with pytest.raises(ConfigurationError, match="chain_depth"):
        request_context({"chain_depth": depth}, now_ms=0)


def test_only_json_travels() -> None:
    """Never code or objects."""
    with pytest.raises(ConfigurationError, match="session"):
        plain({"file": object()}, "session")


def test_a_context_is_bounded() -> None:
    """It travels with every batch."""
    with pytest.raises(ConfigurationError, match="bytes"):
        plain({"text": "x" * MAX_CONTEXT_BYTES}, "session")
