"""Where a job stands, in one look of constant cost."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_broker_config.ledger import JobRecord, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a job stands."""

    state: JobState
    #: Calls that succeeded.
    done: int
    #: Calls that failed; their results say why.
    failed: int
    #: Calls that ended without having run, since the job was cancelled or its deadline passed.
    unrun: int
    #: Calls submitted so far.
    accepted: int
    #: Calls in all. None: the input has not ended yet.
    total: int | None
    #: Progress text; empty when there is none.
    status: str
    #: Why the input ended early; empty when it did not.
    error: str

    @property
    def finished(self) -> int:
        """Calls that ended, in whatever way."""
        return self.done + self.failed + self.unrun

    @classmethod
    def from_record(cls, record: JobRecord) -> Progress:
        """What a job's record says."""
        unrun = record.expired
        if record.state.final:
            unrun = record.accepted - record.done - record.failed
        return cls(
            state=record.state,
            done=record.done,
            failed=record.failed,
            unrun=unrun,
            accepted=record.accepted,
            total=record.total,
            status=record.status,
            error=record.error,
        )
