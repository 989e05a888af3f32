"""The calls of a claimed batch, read without trusting them: each with the header it was signed with. Pure.

A batch is a stretch of one job's calls, under one header; or it was formed of calls of many jobs, each under
its own. Of a formed batch one call that cannot be read does not harm the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from penstock_broker_config.envelope_reading import (
    OwnTerms,
    read_calls,
    read_formed_calls,
    read_header,
    read_own_terms,
)
from penstock_broker_config.ledger import BatchHeader, CallEntry, Claim, job_of
from penstock_plugins.errors import EnvelopeError

#: When a call expires whose header does not say it.
_NEVER = 1 << 53


class BatchCall(NamedTuple):
    """One call, ready to be checked and run."""

    entry: CallEntry
    #: The job that it belongs to, and what its own header says of it alone.
    job: str
    expires_ms: int
    keyed: bool
    #: The header as it was signed.
    header_json: bytes
    #: When it began to wait, by Redis's clock.
    accepted_ms: int
    #: Executions before this batch, that failed and are tried again.
    attempts: int = 0
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
    own = (header.job, header.expires_ms, header.keyed, claim.header, claim.created_ms)
    return BatchCalls(header, [BatchCall(call, *own) for call in calls])


def _read_formed(claim: Claim) -> BatchCalls:
    raw = claim.header.split(b"\n")
    common = _first_header(raw)
    formed = read_formed_calls(claim.calls)
    if common is None or len(formed) != claim.calls_in_batch:
        raise EnvelopeError("The batch's envelope belongs to another batch")
    headers: list[OwnTerms | str] = []
    for line in raw:
        try:
            headers.append(read_own_terms(line, common))
        except EnvelopeError as error:
            headers.append(error.message)
    calls = []
    for number, attempts, accepted, entry in formed:
        own = headers[number] if number < len(headers) else "The call has no header"
        if isinstance(own, str):
            # Nobody's call: it is recorded where the ledger knows that it belongs.
            calls.append(BatchCall(entry, "", _NEVER, False, b"", accepted, attempts, own))
        else:
            calls.append(BatchCall(entry, *own, raw[number], accepted, attempts))
    return BatchCalls(common, calls)


def _first_header(lines: Sequence[bytes]) -> BatchHeader | None:
    """What the calls have in common, as the first header that can be read says it."""
    for line in lines:
        with suppress(EnvelopeError):
            return read_header(line)
    return None
