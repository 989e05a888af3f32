"""Reading the envelope: what was written comes back, what is hostile is refused, only with our own errors."""

from __future__ import annotations

import contextlib
import dataclasses

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_broker_config.envelope_reading import read_calls, read_header
from penstock_broker_config.ledger import BatchHeader
from penstock_plugins.errors import EnvelopeError

HEADER = BatchHeader(
    job="j1",
    tool="text.stats",
    digest="d" * 64,
    tenant="acme",
    queue="penstock.default",
    once=False,
    expires_ms=10**15,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_a_header_survives_its_way() -> None:
    """What the producer wrote is what the worker reads."""
    header = dataclasses.replace(HEADER, timeout_s=2.5, session={"session_id": "s"})

    read = read_header(header.to_json())

    assert read == header


def test_a_header_says_how_its_calls_are_tried_again_or_nothing_of_it() -> None:
    """A rule travels and keeps calls apart; without one the header is what it was before there were any."""
    rule = {"max_attempts": 2, "base_ms": 10, "cap_ms": 50}

    read = read_header(dataclasses.replace(HEADER, retry=rule).to_json())

    assert read.retry == rule
    assert read.policy != HEADER.policy
    assert "retry" not in orjson.loads(HEADER.to_json())
    refused: tuple[object, ...] = (
        {"max_attempts": 2},
        rule | {"cap_ms": 0},
        rule | {"more": 1},
        rule | {"base_ms": True},
        [],
    )
    for wrong in refused:
        with pytest.raises(EnvelopeError, match="wrong type"):
            read_header(orjson.dumps(orjson.loads(HEADER.to_json()) | {"retry": wrong}))


def test_a_header_of_another_version_is_refused_by_its_number() -> None:
    """The message says which version came and which one is read."""
    shape = orjson.loads(HEADER.to_json()) | {"v": 7}

    with pytest.raises(EnvelopeError, match=r"version 7.*reads 1"):
        read_header(orjson.dumps(shape))


@given(st.binary(max_size=200))
def test_fuzz_no_bytes_raise_anything_but_our_own_error(raw: bytes) -> None:
    """Messages are hostile until they are read."""
    for read in (read_header, read_calls):
        with contextlib.suppress(EnvelopeError):
            read(raw)


@given(JSON)
def test_fuzz_no_json_raises_anything_but_our_own_error(value: object) -> None:
    """Valid JSON of any shape is either an envelope or refused."""
    for read in (read_header, read_calls):
        with contextlib.suppress(EnvelopeError):
            read(orjson.dumps(value))


@given(
    st.dictionaries(st.sampled_from([f.name for f in dataclasses.fields(BatchHeader)]), JSON),
)
def test_fuzz_a_header_with_changed_fields_is_read_whole_or_refused(changes: dict[str, object]) -> None:
    """Each field is checked: what passes has the types that it says."""
    shape = orjson.loads(HEADER.to_json()) | changes

    try:
        header = read_header(orjson.dumps(shape))
    except EnvelopeError:
        return

    assert isinstance(header.tool, str)
    assert isinstance(header.once, bool)
    assert isinstance(header.expires_ms, int)
    assert header.timeout_s is None or header.timeout_s > 0
