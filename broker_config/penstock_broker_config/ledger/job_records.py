"""What the ledger keeps and hands out of jobs: where one stands, and which of its calls have ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class JobState(StrEnum):
    """Where a job stands (I-2)."""

    QUEUED = "queued"
    RUNNING = "running"
    INPUT_REQUIRED = "input_required"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as the ledger has it."""

    id: str
    tool: str
    tenant: str
    digest: str
    state: JobState
    #: One call, whose result is the job's; or many.
    single: bool
    #: Calls accepted so far.
    accepted: int
    #: Calls that ended with a recorded success / failure, or without a result since the deadline passed.
    done: int
    failed: int
    expired: int
    #: Calls in all. None: the input has not ended yet.
    total: int | None
    created_ms: int
    started_ms: int | None
    finished_ms: int | None
    #: By when everything must have ended. None: no deadline.
    deadline_ms: int | None
    #: Progress text.
    status: str
    #: Why the input ended early. Empty: it did not.
    error: str
    #: A run of a pipeline; `tool` is the pipeline's name, `digest` its plan's.
    pipeline: bool = False
    #: Of an inner job: the flow that it belongs to.
    parent: str = ""

    @classmethod
    def from_hash(cls, job_id: str, fields: Mapping[str, str]) -> JobRecord:
        """The record that the scripts keep as a hash."""

        def number(name: str) -> int | None:
            value = fields.get(name, "")
            return int(value) if value else None

        return cls(
            id=job_id,
            tool=fields.get("tool", ""),
            tenant=fields.get("tenant", ""),
            digest=fields.get("digest", ""),
            state=JobState(fields.get("state", "queued")),
            single=fields.get("single") == "1",
            accepted=number("accepted") or 0,
            done=number("done") or 0,
            failed=number("failed") or 0,
            expired=number("expired") or 0,
            total=number("total"),
            created_ms=number("created") or 0,
            started_ms=number("started"),
            finished_ms=number("finished"),
            deadline_ms=number("deadline"),
            status=fields.get("status", ""),
            error=fields.get("error", ""),
            pipeline="pipeline" in fields,
            parent=fields.get("parent", ""),
        )


class Completion(NamedTuple):
    """An entry of a job's completion stream."""

    #: Indexes that it speaks of.
    indexes: range
    #: Why they ended without a recorded result ("cancelled", "expired"); None: their results are recorded.
    closed: str | None
