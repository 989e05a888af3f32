"""The calls of a claimed batch, read without trusting them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_broker_config.ledger import BatchHeader, Claim, ClaimState
from penstock_plugins.errors import EnvelopeError
from penstock_workers.batch_calls import read_batch

HEADER = BatchHeader(
    job="a",
    tool="text.slug",
    digest="d" * 64,
    tenant="t",
    queue="penstock.default",
    once=False,
    expires_ms=10**13,
)


def formed(headers: list[bytes], calls: Any, count: int | None = None) -> Claim:
    """A claim of a batch that was formed."""
    return Claim(
        state=ClaimState.GRANTED,
        header=b"\n".join(headers),
        calls=orjson.dumps(calls),
        calls_in_batch=len(calls) if count is None else count,
        formed=True,
    )


def test_B1_each_call_of_a_formed_batch_comes_with_its_own_terms() -> None:
    """Whose it is, until when it may run, and whether it has an idempotency key."""
    other = replace(HEADER, job="b", expires_ms=5, keyed=True, session={"cwd": "/"})
    headers = [HEADER.to_json(), other.to_json()]

    batch = read_batch("+1-1", formed(headers, [[1, 7, 2, 99, '{"x":1}', "mac"], [0, 0, 0, 98, "{}", ""]]))

    first, second = batch.calls
    assert batch.header == HEADER
    assert (first.job, first.expires_ms, first.keyed, first.attempts, first.accepted_ms) == (
        "b",
        5,
        True,
        2,
        99,
    )
    assert (first.entry, first.header_json) == ((7, '{"x":1}', "mac"), headers[1])
    assert (second.job, second.refused) == ("a", None)


@pytest.mark.parametrize(
    "change",
    [
        {"tool": "text.stats"},
        {"digest": "e" * 64},
        {"tenant": "u"},
        {"queue": "q"},
        {"once": True},
        {"timeout_s": 1.0},
    ],
)
def test_B1_a_call_that_does_not_belong_into_a_batch_is_refused_alone(change: dict[str, Any]) -> None:
    """Somebody put it there: the others are run."""
    headers = [HEADER.to_json(), replace(HEADER, job="b", **change).to_json()]

    batch = read_batch("+1-1", formed(headers, [[0, 0, 0, 1, "{}", ""], [1, 0, 0, 1, "{}", ""]]))

    assert [call.refused is None for call in batch.calls] == [True, False]


@pytest.mark.parametrize("header", [b"", b"{}", b"[]", b"7", b'"x"', b'{"v":1}', b"{", b"null"])
def test_a_header_that_cannot_be_read_refuses_its_calls_alone(header: bytes) -> None:
    """Also when it is the first."""
    calls = [[0, 0, 0, 1, "{}", ""], [1, 0, 0, 1, "{}", ""], [2, 0, 0, 1, "{}", ""]]

    batch = read_batch("+1-1", formed([header, HEADER.to_json()], calls))

    assert [call.refused is None for call in batch.calls] == [False, True, False]


@pytest.mark.parametrize(
    "calls",
    [{}, [[0, 0, 0, 1, "{}"]], [[0, 0, 0, True, "{}", ""]], [[-1, 0, 0, 1, "{}", ""]], ["x"], [[0] * 6]],
)
def test_what_is_no_list_of_calls_is_refused(calls: Any) -> None:
    """With nothing run."""
    with pytest.raises(EnvelopeError):
        read_batch("+1-1", formed([HEADER.to_json()], calls, count=1))


@given(st.binary(max_size=400), st.binary(max_size=400), st.booleans())
def test_nothing_but_an_envelope_error_comes_of_any_bytes(
    header: bytes, calls: bytes, is_formed: bool
) -> None:
    """Records are in a Redis that others may write to."""
    claim = Claim(state=ClaimState.GRANTED, header=header, calls=calls, calls_in_batch=1, formed=is_formed)
    try:
        batch = read_batch("+1-1" if is_formed else "a.0", claim)
    except EnvelopeError:
        return
    assert len(batch.calls) == 1
