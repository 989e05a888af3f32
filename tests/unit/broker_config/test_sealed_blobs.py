"""What is kept of runs is signed for its place: it is of no use changed, elsewhere, or unsigned (I-10)."""

from __future__ import annotations

import pytest

from penstock_broker_config.envelope import Signer, flow_context
from penstock_plugins.errors import EnvelopeError

OURS, THEIRS, NONE = Signer(b"k" * 32), Signer(b"x" * 32), Signer(None)


def test_I10_what_was_sealed_is_read_again() -> None:
    """With a key and without, whatever is in it."""
    for signer in (OURS, NONE):
        for blob in (b"", b"{}", b"|a|\n\x00"):
            assert signer.unseal("r", signer.seal("r", blob)) == blob


def test_I10_without_a_key_what_others_signed_is_read() -> None:
    """As calls are."""
    assert NONE.unseal("r", OURS.seal("r", b"x")) == b"x"


@pytest.mark.parametrize(
    "sealed",
    [
        NONE.seal("r", b"x"),
        THEIRS.seal("r", b"x"),
        OURS.seal("s", b"x"),
        OURS.seal("r", b"x") + b"y",
        OURS.seal("r", b"x")[:-1],
        b"0" + OURS.seal("r", b"x")[1:],
        b"x",
        b"",
        b"ab|x",
    ],
)
def test_I10_anything_else_is_refused(sealed: bytes) -> None:
    """Unsigned, with another key, for another place, changed, or no such thing at all."""
    with pytest.raises(EnvelopeError, match="of r "):
        OURS.unseal("r", sealed)


def test_I10_items_are_bound_to_their_flow_stage_and_program() -> None:
    """A flow cannot be sent back to what it was before."""
    sealed = OURS.seal(flow_context("r/0", "1", 0), b"x")
    for other in (flow_context("r/0", "2", 0), flow_context("r/1", "1", 0), flow_context("r/0", "1", 1)):
        with pytest.raises(EnvelopeError):
            OURS.unseal(other, sealed)


def test_I10_a_blob_s_signature_is_no_call_s() -> None:
    """One key, two purposes."""
    assert OURS.seal("", b"x").partition(b"|")[0].decode() != OURS.sign(b"", 0, "x")
