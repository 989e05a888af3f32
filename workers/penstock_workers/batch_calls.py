"""The calls of a claimed batch, read without trusting them: each with the header it was signed with. Pure.

A batch is a stretch of one job's calls, under one header; or it was formed of calls of many jobs, each under
its own. Of a formed batch one call that cannot be read does not harm the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from penstock_broker_config.envelope import read_calls, read_formed_calls, read_header
from penstock_broker_config.ledger import BatchHeader, CallEntry, Claim, job_of
from penstock_plugins.errors import EnvelopeError


@dataclass(frozen=True, slots=True)
class BatchCall:
    """One call, ready to be checked and run."""

    entry: CallEntry
    header: BatchHeader
    #: The header as it was signed.
    header_json: bytes
    #: Executions before this batch, that failed and are tried again.
    attempts: int = 0
    #: When it began to wait, by Redis's clock.
    accepted_ms: int = 0
    #: Why it must not run.
    refused: str | None = None


@dataclass(frozen=True)
class BatchCalls:
    """All calls of a batch, by position; and what they have in common."""

    header: BatchHeader
    calls: Sequence[BatchCall]

    @cached_property
    def cost_field(self) -> str:
        """Where the measured cost of a call is kept."""
        return f"{self.header.digest}:{self.header.tool}"


def read_batch(batch_id: str, claim: Claim) -> BatchCalls:
    """The calls of a batch that was claimed.

    Raises:
        EnvelopeError: none of them can be run.
    """
    return _read_formed(claim) if claim.formed else _read_stretch(batch_id, claim)


def _read_stretch(batch_id: str, claim: Claim) -> BatchCalls:
    header, calls = read_header(claim.header), read_calls(claim.calls)
    job_id, base = job_of(batch_id), int(batch_id.rpartition(".")[2])
    if header.job != job_id or len(calls) != claim.calls_in_batch:
        raise EnvelopeError("The batch's envelope belongs to another batch")
    if any(call.index != base + k for k, call in enumerate(calls)):
        raise EnvelopeError("The batch's calls do not count on from its base")
    accepted = claim.created_ms
    return BatchCalls(header, [BatchCall(call, header, claim.header, 0, accepted) for call in calls])


def _read_formed(claim: Claim) -> BatchCalls:
    raw = claim.header.split(b"\n")
    headers: list[BatchHeader | EnvelopeError] = []
    for line in raw:
        try:
            headers.append(read_header(line))
        except EnvelopeError as error:
            headers.append(error)
    formed = read_formed_calls(claim.calls)
    common = next((header for header in headers if isinstance(header, BatchHeader)), None)
    if common is None or len(formed) != claim.calls_in_batch:
        raise EnvelopeError("The batch's envelope belongs to another batch")
    calls = []
    for number, attempts, accepted, entry in formed:
        header = headers[number] if number < len(headers) else EnvelopeError("The call has no header")
        if isinstance(header, EnvelopeError):
            # Nobody's call: it is recorded where the ledger knows that it belongs.
            calls.append(BatchCall(entry, common, b"", attempts, accepted, header.message))
        else:
            refused = None if _alike(header, common) else "The call does not belong into this batch"
            calls.append(BatchCall(entry, header, raw[number], attempts, accepted, refused))
    return BatchCalls(common, calls)


def _alike(one: BatchHeader, other: BatchHeader) -> bool:
    """Whether two headers say the same of everything that a batch has in common."""
    return one is other or (
        one.tool == other.tool
        and one.digest == other.digest
        and one.tenant == other.tenant
        and one.queue == other.queue
        and one.once == other.once
        and one.timeout_s == other.timeout_s
    )
