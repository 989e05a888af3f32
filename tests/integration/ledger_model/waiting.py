"""Calls that wait, and batches that leave: what tests of single histories do."""

from __future__ import annotations

import pytest

from penstock_broker_config.ledger import (
    BatchHeader,
    Buffer,
    BufferedCall,
    CallEntry,
    Claim,
    ClaimTerms,
    DispatchTerms,
)
from tests.integration.ledger_model.virtual_time import VirtualLedger
from tests.support.ledger_values import header


def wait(
    ledger: VirtualLedger,
    job: str,
    buffer: Buffer,
    *,
    tenant: str = "t",
    once: bool = False,
    delay_s: float | None = None,
    deadline_s: float | None = None,
) -> BatchHeader:
    """One call that is a job, and waits in a buffer."""
    about = header(job, tenant=tenant, once=once)
    one = [BufferedCall(CallEntry(0, "{}"))]
    ledger.enqueue(about, one, [buffer], base=0, total=1, delay_s=delay_s, deadline_s=deadline_s)
    return about


def leave(ledger: VirtualLedger, *, looks: int = 10) -> list[str]:
    """The batches that leave, as a dispatcher sees to it that looks again when it is told to."""
    batches: list[str] = []
    for _ in range(looks):
        answer = ledger.dispatch(DispatchTerms(waiting=100))
        batches += [batch.batch_id for batch in answer.batches]
        if answer.next_s != 0:
            return batches
    pytest.fail("a dispatcher would turn round and round")


def claim(ledger: VirtualLedger, batch: str, holder: str = "a:1:1#1", lease_s: float = 30.0) -> Claim:
    """A claim, whatever came of it."""
    return ledger.claim(batch, ClaimTerms(holder=holder, lease_s=lease_s, max_attempts=3))
