"""The envelope: what is signed is whole, and what was changed since or is not signed is refused."""

from __future__ import annotations

import dataclasses

import pytest

from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import BatchHeader, CallEntry
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


def test_I10_a_signed_call_passes_with_its_key_and_with_no_other() -> None:
    """The key that signed it accepts the call; another one and a changed call are refused."""
    header = HEADER.to_json()
    signer = Signer(b"0123456789abcdef")
    (call,) = signer.entries(header, 0, ['{"text": "x"}'])

    signer.check(header, call)

    with pytest.raises(EnvelopeError, match="not valid"):
        Signer(b"another key, another").check(header, call)
    with pytest.raises(EnvelopeError, match="not valid"):
        signer.check(header, call._replace(params='{"text": "y"}'))
    with pytest.raises(EnvelopeError, match="not valid"):
        signer.check(header, call._replace(index=1))
    with pytest.raises(EnvelopeError, match="not valid"):
        signer.check(dataclasses.replace(HEADER, tenant="other").to_json(), call)


def test_I10_once_a_key_is_set_an_unsigned_call_is_refused() -> None:
    """A worker with a key takes signed calls only."""
    with pytest.raises(EnvelopeError, match="not signed"):
        Signer(b"0123456789abcdef").check(HEADER.to_json(), CallEntry(0, "{}", ""))


def test_without_a_key_every_call_passes() -> None:
    """No key set: nothing is signed and nothing is asked for."""
    Signer(None).check(HEADER.to_json(), CallEntry(0, "{}", ""))

    assert Signer(None).entries(b"", 3, ["{}"]) == [CallEntry(3, "{}", "")]
