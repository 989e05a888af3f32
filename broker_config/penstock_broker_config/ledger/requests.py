"""What each script of the ledger is asked and what its answer means; shared by both clients.

A `Request` is data: a script's name, its keys, its arguments, and the function that reads the answer. The
blocking and the asyncio client differ only in how they send it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.records import (
    BatchHeader,
    CallEntry,
    Claim,
    ClaimState,
    Commit,
    Completion,
    JobState,
    Overdue,
    RecordKind,
    Submitted,
)
from penstock_broker_config.value_references import size_of
from penstock_plugins.errors import ConflictError, ErrorCode, JobNotFoundError, OverloadedError
from penstock_plugins.result import ToolFailure, to_record

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """One call of one script."""

    script: str
    keys: Sequence[str]
    args: Sequence[str | bytes | int | float]
    read: Callable[[Any], T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what a finished job leaves behind is kept."""

    result_ttl_s: float = 86_400.0
    failure_ttl_s: float = 604_800.0

    @property
    def args(self) -> tuple[int, int]:
        """Milliseconds for successes and failures."""
        return int(self.result_ttl_s * 1000), int(self.failure_ttl_s * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may be accepted and not at its end (B-3). Beyond it, submitting is refused as OVERLOADED."""

    #: Calls of one batch key, of all, and bytes of their params.
    key_calls: int = 100_000
    calls: int = 2_000_000
    size_bytes: int = 1 << 30

    @property
    def args(self) -> tuple[int, int]:
        """Of all: calls and bytes."""
        return self.calls, self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """Under which conditions a worker takes a batch."""

    #: Who takes it: PROCESS#CLAIM, new for each claim.
    holder: str
    lease_s: float
    #: Executions that may be started before a call is set aside.
    max_attempts: int
    #: An earlier holder that is known to be dead. Its lease need not be waited for.
    takeover: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapTerms:
    """How many doorbells are rung again, and when."""

    #: Batches looked at in one go.
    limit: int = 200
    #: Seconds until the second ring; doubles with each, up to `backoff_cap_s`.
    backoff_s: float = 2.0
    backoff_cap_s: float = 20.0
    #: Seconds after which a doorbell is rung although its queue is deep.
    age_s: float = 600.0


def job_of(batch_id: str) -> str:
    """The job that a batch (or call) belongs to: its id is `job.index`."""
    return batch_id.rpartition(".")[0]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _lost_worker_records(max_attempts: int) -> tuple[bytes, bytes]:
    interrupted = ToolFailure(
        code=ErrorCode.INTERRUPTED,
        message="The worker was lost while the call ran, and the tool may not be run twice",
    )
    quarantined = ToolFailure(
        code=ErrorCode.QUARANTINED,
        message=f"The call lost its worker {max_attempts} times and was set aside as a dead letter",
    )
    return (
        to_record(content=None, error=interrupted, metadata={}),
        to_record(content=None, error=quarantined, metadata={"attempts": max_attempts}),
    )


class LedgerRequests:
    """Builds the requests of one system."""

    def __init__(self, keys: Keys, retention: Retention, bounds: Bounds) -> None:
        self.keys = keys
        self._keep = retention.args
        self._bounds = bounds

    def open_job(
        self, job_id: str, *, tool: str, digest: str, tenant: str, queue: str, deadline_s: float | None
    ) -> Request[bool]:
        deadline = "" if deadline_s is None else int(deadline_s * 1000)
        return Request(
            script="open_job",
            keys=[self.keys.jobs],
            args=[self.keys.prefix, job_id, tool, digest, tenant, queue, deadline],
            read=bool,
        )

    def submit(
        self,
        header: BatchHeader,
        calls: Sequence[CallEntry],
        *,
        base: int,
        deadline_s: float | None,
        total: int | None,
        idempotency: tuple[str, str] | None,
        single: bool,
        ring_after_s: float,
    ) -> Request[Submitted]:
        key, params_digest = idempotency or ("", "")
        return Request(
            script="submit",
            keys=[
                self.keys.open,
                self.keys.jobs,
                self.keys.costs,
                self.keys.catalog_version,
                self.keys.idempotency(header.tenant, header.tool, key) if key else self.keys.open,
            ],
            args=[
                self.keys.prefix,
                header.job,
                f"{header.job}.{base}",
                base,
                len(calls),
                header.to_json(),
                orjson.dumps([tuple(call) for call in calls]),
                header.queue,
                header.tool,
                header.digest,
                header.tenant,
                int(header.once),
                "" if deadline_s is None else int(deadline_s * 1000),
                "" if total is None else total,
                int(single),
                int(ring_after_s * 1000),
                params_digest if key else "",
                *self._keep,
                *self._bounds.args,
                header.policy,
                sum(size_of(call.params) for call in calls),
            ],
            read=read_submitted,
        )

    def seal(self, job_id: str, *, error: str) -> Request[JobState]:
        def read(answer: bytes) -> JobState:
            if not answer:
                raise JobNotFoundError(f"There is no job {job_id}, or its results have expired")
            return JobState(_text(answer))

        return Request(script="seal", keys=[], args=[self.keys.prefix, job_id, error, *self._keep], read=read)

    def cancel(self, job_id: str) -> Request[bool]:
        def read(answer: int) -> bool:
            if answer < 0:
                raise JobNotFoundError(f"There is no job {job_id}, or its results have expired")
            return answer == 1

        return Request(script="cancel", keys=[], args=[self.keys.prefix, job_id, *self._keep], read=read)

    def claim(self, batch_id: str, terms: ClaimTerms) -> Request[Claim]:
        return Request(
            script="claim",
            keys=[self.keys.open, self.keys.dead],
            args=[
                self.keys.prefix,
                batch_id,
                terms.holder,
                int(terms.lease_s * 1000),
                terms.max_attempts,
                terms.takeover,
                *self._keep,
                *_lost_worker_records(terms.max_attempts),
            ],
            read=_read_claim,
        )

    def renew(self, batch_id: str, *, fence: int, lease_s: float, position: int | None) -> Request[Commit]:
        running = "" if position is None else position
        return Request(
            script="renew",
            keys=[self.keys.open],
            args=[self.keys.prefix, batch_id, fence, int(lease_s * 1000), running],
            read=_read_commit,
        )

    def commit(
        self,
        batch_id: str,
        records: Sequence[tuple[RecordKind, bytes]],
        *,
        fence: int,
        position: int,
        lease_s: float,
        cost_field: str,
        cost_us: float | None,
        pause_s: float | None,
    ) -> Request[Commit]:
        return Request(
            script="commit",
            keys=[self.keys.open, self.keys.costs],
            args=[
                self.keys.prefix,
                batch_id,
                fence,
                position,
                int(lease_s * 1000),
                *self._keep,
                cost_field,
                "" if cost_us is None else round(cost_us, 1),
                "" if pause_s is None else int(pause_s * 1000),
                "".join(kind.value for kind, _ in records),
                *(record for _, record in records),
            ],
            read=_read_commit,
        )

    def release(self, batch_id: str, *, fence: int) -> Request[Commit]:
        return Request(
            script="release",
            keys=[self.keys.open],
            args=[self.keys.prefix, batch_id, fence],
            read=_read_commit,
        )

    def reap(self, terms: ReapTerms, *, deep_queues: Sequence[str]) -> Request[list[Overdue]]:
        return Request(
            script="reap",
            keys=[self.keys.open, self.keys.jobs, self.keys.dead],
            args=[
                self.keys.prefix,
                terms.limit,
                int(terms.backoff_s * 1000),
                int(terms.backoff_cap_s * 1000),
                int(terms.age_s * 1000),
                *self._keep,
                *deep_queues,
            ],
            read=read_overdue,
        )


def read_submitted(answer: list[Any]) -> Submitted:
    word, job_id, cost, finished, version, state, full, wait_ms = answer
    job = _text(job_id)
    match _text(word):
        case "conflict":
            raise ConflictError(
                f"The idempotency key was used before with other params, by job {job}", {"job_id": job}
            )
        case "gap":
            raise JobNotFoundError(
                f"Job {job} does not continue there: it has expired, or was fed by another"
            )
        case "overloaded":
            raise OverloadedError(
                f"Too much is waiting ({_text(full)}): try again later",
                {"retry_after_s": int(wait_ms) / 1000},
            )
    if _text(word) == "closed" and not JobState(_text(state)).final:
        raise JobNotFoundError(f"Job {job} accepts no more calls: its input was ended by another")
    return Submitted(
        accepted=_text(word) == "ok",
        job_id=job,
        cost_us=float(cost) if cost else None,
        finished=int(finished),
        catalog_version=int(version),
        state=JobState(_text(state)),
        limited=_text(word) == "limited",
    )


def _read_claim(answer: list[Any]) -> Claim:
    state = ClaimState(_text(answer[0]))
    if state is ClaimState.HELD:
        return Claim(state=state, holder=_text(answer[1]))
    if state is ClaimState.GONE:
        return Claim(state=state)
    if state is ClaimState.PARKED:
        return Claim(state=state)
    _, fence, header, calls, count, recorded, attempts, careful, now, created, deadline, *rest = answer
    formed, limited, closed = rest
    return Claim(
        state=state,
        fence=int(fence),
        header=header,
        calls=calls,
        calls_in_batch=int(count),
        recorded=int(recorded),
        attempts=int(attempts),
        careful=careful == b"1",
        now_ms=int(now),
        created_ms=int(created),
        deadline_ms=int(deadline) if deadline else None,
        formed=bool(formed),
        limited=bool(limited),
        closed=frozenset(int(position) for position in closed),
    )


def _read_commit(answer: bytes) -> Commit:
    return Commit(_text(answer))


def read_overdue(answer: list[Any]) -> list[Overdue]:
    return [
        Overdue(_text(answer[i]), _text(answer[i + 1]), _text(answer[i + 2]), int(answer[i + 3]))
        for i in range(0, len(answer), 4)
    ]


def read_completions(entries: Sequence[tuple[Any, dict[bytes, bytes]]]) -> list[Completion]:
    """The meaning of a stretch of a job's completion stream."""
    completions = []
    for _, fields in entries:
        if b"i" in fields:
            first, _, last = fields[b"i"].decode().partition("-")
            closed = fields.get(b"c")
            completions.append(
                Completion(range(int(first), int(last) + 1), closed.decode() if closed else None)
            )
        else:
            completions.append(Completion(range(0), fields[b"s"].decode()))
    return completions
