"""The ledger for blocking code: workers, the scheduler, and producers without an event loop."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.buffering import (
    Buffer,
    BufferedCall,
    BufferRequests,
    Dispatched,
    DispatchTerms,
)
from penstock_broker_config.ledger.following import Committed, commit_and_claim
from penstock_broker_config.ledger.limits import LimitChange, LimitRequests, LimitState, read_limit
from penstock_broker_config.ledger.records import (
    BatchHeader,
    CallEntry,
    Claim,
    Commit,
    Completion,
    JobRecord,
    JobState,
    Overdue,
    RecordKind,
    Submitted,
)
from penstock_broker_config.ledger.requests import (
    Bounds,
    ClaimTerms,
    LedgerRequests,
    ReapTerms,
    Request,
    Retention,
    read_completions,
)
from penstock_broker_config.ledger.scripts import load_script
from penstock_plugins.errors import JobNotFoundError

T = TypeVar("T")

#: One reading of a stream blocks for no longer, well below the client's socket timeout.
LONGEST_WAIT_S = 5.0


class Ledger:
    """The truth about every job and batch, changed only by scripts.

    Raises `redis.RedisError` when Redis does not answer: each method may then be called again, since every
    script records once however often it is sent.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        retention: Retention | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._redis = client
        retention, bounds = retention or Retention(), bounds or Bounds()
        self._requests = LedgerRequests(keys, retention, bounds)
        self._buffers = BufferRequests(keys, retention, bounds)
        self._limits = LimitRequests(keys)
        self._scripts: dict[str, Any] = {}
        self.keys = keys

    # Producers ---------------------------------------------------------------------------------------

    def open_job(
        self, job_id: str, *, tool: str, digest: str, tenant: str, queue: str, deadline_s: float | None = None
    ) -> bool:
        """Create a job without calls; False when it was there."""
        return self._run(
            self._requests.open_job(
                job_id, tool=tool, digest=digest, tenant=tenant, queue=queue, deadline_s=deadline_s
            )
        )

    def submit(
        self,
        header: BatchHeader,
        calls: Sequence[CallEntry],
        *,
        base: int,
        deadline_s: float | None = None,
        total: int | None = None,
        idempotency: tuple[str, str] | None = None,
        single: bool = False,
        ring_after_s: float = 5.0,
    ) -> Submitted:
        """Accept one batch of calls; the job is created with its first one.

        Args:
            header: what the calls share.
            calls: at least one; their indexes count on from `base`.
            base: index of the first call: how many calls the job has accepted before.
            deadline_s: seconds from now in which the whole job must end; read with the first batch.
            total: how many calls there will be; seals the job at once. None: `seal` says it later.
            idempotency: the key and the digest of the params that it stands for.
            single: the job is one call.
            ring_after_s: seconds after which the reaper rings, should the doorbell get lost.

        Raises:
            ConflictError: the idempotency key was used before with other params.
            JobNotFoundError: `base` is past what the job has accepted.
        """
        return self._run(
            self._requests.submit(
                header,
                calls,
                base=base,
                deadline_s=deadline_s,
                total=total,
                idempotency=idempotency,
                single=single,
                ring_after_s=ring_after_s,
            )
        )

    def enqueue(
        self,
        header: BatchHeader,
        calls: Sequence[BufferedCall],
        buffers: Sequence[Buffer],
        *,
        base: int,
        deadline_s: float | None = None,
        total: int | None = None,
        idempotency: tuple[str, str] | None = None,
        single: bool = False,
        delay_s: float | None = None,
    ) -> Submitted:
        """Accept calls that do not leave at once: dispatchers form batches of them.

        Args:
            header: what the calls share.
            calls: each with the position of its buffer; their indexes count on from `base`.
            buffers: where they wait.
            base: as for `submit`, like all that follows.
            deadline_s: seconds from now in which the whole job must end.
            total: how many calls there will be.
            idempotency: the key and the digest of the params that it stands for.
            single: the job is one call.
            delay_s: seconds from now before which none of them leaves.

        Raises:
            OverloadedError: too much waits; nothing was accepted.
            ConflictError, JobNotFoundError: as for `submit`.
        """
        return self._run(
            self._buffers.enqueue(
                header,
                calls,
                buffers,
                base=base,
                deadline_s=deadline_s,
                total=total,
                idempotency=idempotency,
                single=single,
                delay_s=delay_s,
            )
        )

    def flush(self, *, tenant: str, tool: str, key: str) -> int:
        """What waits under a batch key leaves now; returns how many calls that are."""
        return self._run(self._buffers.flush(tenant, tool, key))

    def seal(self, job_id: str, *, error: str = "") -> JobState:
        """The input has ended: what was accepted is all there will be. `error` says why it ended early.

        Raises:
            JobNotFoundError: there is no such job.
        """
        return self._run(self._requests.seal(job_id, error=error))

    def cancel(self, job_id: str) -> bool:
        """End a job now; False when it had ended before.

        Raises:
            JobNotFoundError: there is no such job.
        """
        return self._run(self._requests.cancel(job_id))

    def job(self, job_id: str) -> JobRecord:
        """A job's record, in constant time.

        Raises:
            JobNotFoundError: there is no such job, or it has expired.
        """
        fields = cast("dict[bytes, bytes]", self._redis.hgetall(self.keys.job(job_id)))
        return read_job(job_id, fields)

    def jobs(self, limit: int = 100) -> list[JobRecord]:
        """The newest jobs, newest first."""
        found = cast("list[bytes]", self._redis.zrevrange(self.keys.jobs, 0, limit - 1))
        ids = [job_id.decode(errors="replace") for job_id in found]
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(self.keys.job(job_id))
            return read_jobs(ids, pipe.execute(raise_on_error=False))

    def completions(
        self, job_id: str, *, cursor: str = "0", wait_s: float | None = 0.0, count: int = 100
    ) -> tuple[str, list[Completion]]:
        """What ended in a job since `cursor`, in that order.

        Args:
            job_id: the job.
            cursor: where the last reading ended; "0" is the beginning.
            wait_s: seconds to wait for something new; 0 does not wait, None (and anything longer) waits for
                `LONGEST_WAIT_S`.
            count: entries at most; an entry speaks of one or many calls.

        Returns:
            The cursor for the next reading, and the completions (none when the wait was in vain).
        """
        wait = LONGEST_WAIT_S if wait_s is None else min(wait_s, LONGEST_WAIT_S)
        block = max(1, int(wait * 1000)) if wait > 0 else None
        answer = self._redis.xread({self.keys.completions(job_id): cursor}, count=count, block=block)
        return read_stream(answer, cursor)

    def results(self, job_id: str, indexes: Sequence[int]) -> list[bytes | None]:
        """The recorded results at `indexes`, in that order; None where none is recorded."""
        if not indexes:
            return []
        found: Any = self._redis.hmget(self.keys.successes(job_id), indexes)
        missing = missing_in(found, indexes)
        if missing:
            failures: Any = self._redis.hmget(self.keys.failures(job_id), missing)
            put_in(found, failures)
        return cast("list[bytes | None]", found)

    # Workers -----------------------------------------------------------------------------------------

    def claim(self, batch_id: str, terms: ClaimTerms) -> Claim:
        """Take the lease of a batch, if it may be run now."""
        return self._run(self._requests.claim(batch_id, terms))

    def renew(self, batch_id: str, *, fence: int, lease_s: float, position: int | None = None) -> Commit:
        """Keep the lease while a call takes long; `position` says which one of the batch."""
        return self._run(self._requests.renew(batch_id, fence=fence, lease_s=lease_s, position=position))

    def commit(
        self,
        batch_id: str,
        records: Sequence[tuple[RecordKind, bytes]],
        *,
        fence: int,
        position: int,
        lease_s: float,
        cost_field: str = "",
        cost_us: float | None = None,
        pause_s: float | None = None,
    ) -> Commit:
        """Record the results of the next calls of a batch, all or none.

        Args:
            batch_id: the batch.
            records: for each call, what is recorded and its result record.
            fence: from the claim.
            position: of the first record in the batch (0-based).
            lease_s: the lease goes on for this long.
            cost_field: `digest:tool`, where the measured cost is kept.
            cost_us: measured microseconds of one call.
            pause_s: seconds for which nothing new starts under the batch's limits.
        """
        return self._run(
            self._requests.commit(
                batch_id,
                records,
                fence=fence,
                position=position,
                lease_s=lease_s,
                cost_field=cost_field,
                cost_us=cost_us,
                pause_s=pause_s,
            )
        )

    def commit_and_claim(
        self,
        batch_id: str,
        records: Sequence[tuple[RecordKind, bytes]],
        *,
        fence: int,
        position: int,
        cost_field: str = "",
        cost_us: float | None = None,
        pause_s: float | None = None,
        terms: ClaimTerms,
        queues: Sequence[str],
    ) -> Committed:
        """Record the last calls of a batch, and take the batch that is next in its queue, if one may be.

        Sent again under the same holder's name, it answers with the batch that it took before.

        Args:
            terms: who takes the next batch (a new name for each claim); the lease is for both batches.
            queues: full names of all queues that the worker serves. No batch is taken while one of the others
                has something waiting.
            batch_id, records, fence, position, cost_field, cost_us, pause_s: see `commit`.
        """
        commit = self._requests.commit(
            batch_id,
            records,
            fence=fence,
            position=position,
            lease_s=terms.lease_s,
            cost_field=cost_field,
            cost_us=cost_us,
            pause_s=pause_s,
        )
        return self._run(commit_and_claim(self.keys, commit, self._requests.claim("", terms), queues))

    def release(self, batch_id: str, *, fence: int) -> Commit:
        """Give the lease back; nobody is charged."""
        return self._run(self._requests.release(batch_id, fence=fence))

    # Scheduler ---------------------------------------------------------------------------------------

    def reap(self, terms: ReapTerms, *, deep_queues: Sequence[str] = ()) -> list[Overdue]:
        """End what has expired, and say which doorbells to ring again."""
        return self._run(self._requests.reap(terms, deep_queues=deep_queues))

    def dispatch(self, terms: DispatchTerms) -> Dispatched:
        """Form batches of what may leave, and say which doorbells to ring."""
        return self._run(self._buffers.dispatch(terms))

    def change_limit(self, key: str, change: LimitChange) -> None:
        """Set figures of a limit; they hold from the next batch on."""
        self._run(self._limits.change(key, change))

    def clear_limit(self, key: str) -> bool:
        """Take back what the operator has set; False when nothing is left of the limit."""
        return bool(self._run(self._limits.clear(key)))

    def limits(self, count: int = 1000) -> list[LimitState]:
        """The limits in use and those that the operator has set, by name."""
        keys, client = self.keys, self._redis
        used = cast("list[bytes]", client.zrevrange(keys.limits, 0, count - 1))
        own = cast("set[bytes]", client.smembers(keys.operator_limits))
        names = sorted(name.decode(errors="replace") for name in {*used, *own})
        seconds, micros = client.time()
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(keys.limit(name))
                pipe.sismember(keys.operator_limits, name)
                pipe.zcount(keys.limit_slots(name), seconds * 1000, "+inf")
                pipe.zcard(keys.limit_waiters(name))
            answers = pipe.execute()
        return [
            read_limit(name, answers[4 * i : 4 * i + 4], seconds * 1000 + micros // 1000)
            for i, name in enumerate(names)
        ]

    def _run(self, request: Request[T]) -> T:
        script = self._scripts.get(request.script)
        if script is None:
            script = self._scripts[request.script] = self._redis.register_script(load_script(request.script))
        return request.read(script(keys=request.keys, args=request.args))


def missing_in(found: Sequence[bytes | None], indexes: Sequence[int]) -> list[int]:
    """The indexes of which no success is recorded. Most often none: failures are asked for only then."""
    if None not in found:
        return []
    return [index for index, record in zip(indexes, found, strict=True) if record is None]


def put_in(found: list[bytes | None], failures: Sequence[bytes | None]) -> None:
    """Put records of failures, in order, where none was found."""
    rest = iter(failures)
    found[:] = [next(rest) if record is None else record for record in found]


def decode_fields(fields: dict[bytes, bytes]) -> dict[str, str]:
    """A hash as text."""
    return {name.decode(): value.decode() for name, value in fields.items()}


def read_job(job_id: str, fields: dict[bytes, bytes]) -> JobRecord:
    """The record in a hash.

    Raises:
        JobNotFoundError: the hash is empty.
    """
    if not fields:
        raise JobNotFoundError(f"There is no job {job_id}, or its results have expired")
    try:
        return JobRecord.from_hash(job_id, decode_fields(fields))
    except ValueError as error:
        raise JobNotFoundError(f"The record of job {job_id} is damaged: {error}") from error


def read_jobs(ids: Sequence[str], answers: Sequence[Any]) -> list[JobRecord]:
    """The records in many answers of HGETALL; those that are gone or damaged are left out."""
    records = []
    for job_id, fields in zip(ids, answers, strict=True):
        if isinstance(fields, dict) and fields:
            with contextlib.suppress(JobNotFoundError):
                records.append(read_job(job_id, fields))
    return records


def read_stream(answer: Any, cursor: str) -> tuple[str, list[Completion]]:
    """The answer of XREAD over one stream, in either protocol's shape."""
    if not answer:
        return cursor, []
    entries = next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
    last = entries[-1][0]
    return last.decode() if isinstance(last, bytes) else last, read_completions(entries)
