"""Values that tests of the ledger share."""

from __future__ import annotations

from typing import Any

from penstock_broker_config.ledger import (
    BatchHeader,
    CallEntry,
    Claim,
    ClaimState,
    ClaimTerms,
    Ledger,
    RecordKind,
)
from penstock_plugins.result import to_record

GOOD = (RecordKind.SUCCESS, to_record(content=b"1", error=None, metadata={}))
BAD = (RecordKind.FAILURE, b'{"e":{"code":"TRAP","message":"x"},"m":{}}')


def header(job: str, *, once: bool = False, tenant: str = "t") -> BatchHeader:
    """A header of one job."""
    return BatchHeader(
        job=job,
        tool="text.stats",
        digest="d" * 64,
        tenant=tenant,
        queue="penstock.default",
        once=once,
        expires_ms=10**15,
    )


def calls(base: int, count: int) -> list[CallEntry]:
    """Calls whose params name their index."""
    return [CallEntry(base + k, f'{{"n":{base + k}}}') for k in range(count)]


def terms(holder: str = "h:1:1#1", **changes: Any) -> ClaimTerms:
    """Terms under which a test claims."""
    given: dict[str, Any] = {"holder": holder, "lease_s": 30.0, "max_attempts": 3, **changes}
    return ClaimTerms(**given)


def granted(ledger: Ledger, batch: str, holder: str = "h:1:1#1", **changes: Any) -> Claim:
    """A claim that must be granted."""
    claim = ledger.claim(batch, terms(holder, **changes))
    assert claim.state is ClaimState.GRANTED
    return claim
