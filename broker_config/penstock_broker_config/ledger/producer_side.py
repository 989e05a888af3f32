"""The producers' side of the blocking ledger: jobs, calls, results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import BatchHeader, CallEntry, Submitted
from penstock_broker_config.ledger.buffering import Buffer, BufferedCall
from penstock_broker_config.ledger.flow_records import InnerOf
from penstock_broker_config.ledger.job_records import Completion, JobRecord, JobState
from penstock_broker_config.ledger.producing import ProducerRequests
from penstock_broker_config.ledger.reading import (
    missing_in,
    put_in,
    read_job,
    read_jobs,
    read_stream,
)
from penstock_broker_config.ledger.requests import Bounds, Retention
from penstock_broker_config.ledger.scripted import Scripted

#: One reading of a stream blocks for no longer, well below the client's socket timeout.
LONGEST_WAIT_S = 5.0


class ProducerSide(Scripted):
    """What producers do."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        retention: Retention | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(client, keys, retention, bounds)
        self._producing = ProducerRequests(keys, self._retention, self._bounds)

    def open_job(
        self, job_id: str, *, tool: str, digest: str, tenant: str, queue: str, deadline_s: float | None = None
    ) -> bool:
        """Create a job without calls; False when it was there."""
        return self._run(
            self._producing.open_job(
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
        inner_of: InnerOf | None = None,
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
            inner_of: these calls are the inner job of that flow's stage (see `flow_records.inner_job`):
                `Submitted.lost` when it is not held under that fence any more.

        Raises:
            ConflictError: the idempotency key was used before with other params.
            JobNotFoundError: `base` is past what the job has accepted.
        """
        return self._run(
            self._producing.submit(
                header,
                calls,
                base=base,
                deadline_s=deadline_s,
                total=total,
                idempotency=idempotency,
                single=single,
                ring_after_s=ring_after_s,
                inner_of=inner_of,
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
        inner_of: InnerOf | None = None,
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
            inner_of: as for `submit`.

        Raises:
            OverloadedError: too much waits; nothing was accepted.
            ConflictError, JobNotFoundError: as for `submit`.
        """
        return self._run(
            self._producing.enqueue(
                header,
                calls,
                buffers,
                base=base,
                deadline_s=deadline_s,
                total=total,
                idempotency=idempotency,
                single=single,
                delay_s=delay_s,
                inner_of=inner_of,
            )
        )

    def flush(self, *, tenant: str, tool: str, key: str) -> int:
        """What waits under a batch key leaves now; returns how many calls that are."""
        return self._run(self._producing.flush(tenant, tool, key))

    def seal(self, job_id: str, *, error: str = "") -> JobState:
        """The input has ended: what was accepted is all there will be. `error` says why it ended early.

        Raises:
            JobNotFoundError: there is no such job.
        """
        return self._run(self._producing.seal(job_id, error=error))

    def cancel(self, job_id: str) -> bool:
        """End a job now; False when it had ended before.

        Raises:
            JobNotFoundError: there is no such job.
        """
        return self._run(self._producing.cancel(job_id))

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
