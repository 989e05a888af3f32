"""The ledger for asyncio: what producers need, over the same requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import redis.asyncio

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import BatchHeader, CallEntry, Submitted
from penstock_broker_config.ledger.buffering import Buffer, BufferedCall
from penstock_broker_config.ledger.flow_reading import (
    POSITION,
    names_of_traces,
    read_position,
    read_resumable,
)
from penstock_broker_config.ledger.flow_records import FlowStep, Resumable, RunSpec
from penstock_broker_config.ledger.flowing import FlowRequests
from penstock_broker_config.ledger.job_records import Completion, JobRecord, JobState
from penstock_broker_config.ledger.producing import ProducerRequests
from penstock_broker_config.ledger.reading import missing_in, put_in, read_job, read_jobs, read_stream
from penstock_broker_config.ledger.requests import Bounds, Request, Retention
from penstock_broker_config.ledger.scripts import load_script

T = TypeVar("T")


class AsyncLedger:
    """The producers' side of `Ledger`, awaitable; arguments, answers and errors are the same."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        retention: Retention | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._redis: Any = client
        self._requests = ProducerRequests(keys, retention or Retention(), bounds or Bounds())
        self._flowing = FlowRequests(keys, retention or Retention(), bounds or Bounds())
        self._scripts: dict[str, Any] = {}
        self.keys = keys

    async def open_job(
        self, job_id: str, *, tool: str, digest: str, tenant: str, queue: str, deadline_s: float | None = None
    ) -> bool:
        """See `Ledger.open_job`."""
        return await self._run(
            self._requests.open_job(
                job_id, tool=tool, digest=digest, tenant=tenant, queue=queue, deadline_s=deadline_s
            )
        )

    async def submit(
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
        """See `Ledger.submit`."""
        return await self._run(
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

    async def enqueue(
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
        """See `Ledger.enqueue`."""
        return await self._run(
            self._requests.enqueue(
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

    async def open_run(self, spec: RunSpec, *, deadline_s: float | None = None) -> bool:
        """See `Ledger.open_run`."""
        return await self._run(self._flowing.open_run(spec, deadline_s=deadline_s))

    async def begin(
        self,
        spec: RunSpec,
        items: bytes,
        *,
        base: int,
        count: int,
        size_bytes: int,
        first: FlowStep,
        program: int = 0,
        deadline_s: float | None = None,
        total: int | None = None,
        idempotency: tuple[str, str] | None = None,
        single: bool = False,
        ring_after_s: float = 5.0,
    ) -> Submitted:
        """See `Ledger.begin`."""
        return await self._run(
            self._flowing.begin(
                spec,
                items,
                base=base,
                count=count,
                size_bytes=size_bytes,
                first=first,
                program=program,
                deadline_s=deadline_s,
                total=total,
                idempotency=idempotency,
                single=single,
                ring_after_s=ring_after_s,
            )
        )

    async def plan(self, run: str) -> bytes | None:
        """See `Ledger.plan`."""
        found: bytes | None = await self._redis.get(self.keys.plan(run))
        return found

    async def steps(self, run: str) -> dict[str, int]:
        """See `Ledger.steps`."""
        fields = await self._redis.hgetall(self.keys.steps(run))
        return {name.decode(): int(count) for name, count in fields.items()}

    async def position(self, flow: str) -> tuple[int, str] | None:
        """See `Ledger.position`."""
        return read_position(await self._redis.hmget(self.keys.flow(flow), POSITION))

    async def resumable(self, run: str) -> Resumable:
        """See `Ledger.resumable`."""
        return read_resumable(await self._redis.hgetall(self.keys.resumable(run)))

    async def left_traces(self, run: str, index: int) -> tuple[int, dict[str, bytes]]:
        """See `Ledger.left_traces`."""
        key = self.keys.resumable(run)
        base, names = names_of_traces(await self._redis.hkeys(key), index)
        values = await self._redis.hmget(key, list(names.values())) if names else []
        return base, {stage: one for stage, one in zip(names, values, strict=True) if one is not None}

    async def open_flows(self, run: str) -> int:
        """See `Ledger.open_flows`."""
        return int(await self._redis.scard(self.keys.flows(run)))

    async def attach(self, run: str, after: bytes) -> None:
        """See `Ledger.attach`."""
        await self._redis.set(self.keys.after(run), after)

    async def flush(self, *, tenant: str, tool: str, key: str) -> int:
        """See `Ledger.flush`."""
        return await self._run(self._requests.flush(tenant, tool, key))

    async def seal(self, job_id: str, *, error: str = "") -> JobState:
        """See `Ledger.seal`."""
        return await self._run(self._requests.seal(job_id, error=error))

    async def cancel(self, job_id: str) -> bool:
        """See `Ledger.cancel`."""
        return await self._run(self._requests.cancel(job_id))

    async def job(self, job_id: str) -> JobRecord:
        """See `Ledger.job`."""
        return read_job(job_id, await self._redis.hgetall(self.keys.job(job_id)))

    async def jobs(self, limit: int = 100) -> list[JobRecord]:
        """See `Ledger.jobs`."""
        found = await self._redis.zrevrange(self.keys.jobs, 0, limit - 1)
        ids = [job_id.decode(errors="replace") for job_id in found]
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids:
                pipe.hgetall(self.keys.job(job_id))
            return read_jobs(ids, await pipe.execute(raise_on_error=False))

    async def completions(
        self, job_id: str, *, cursor: str = "0", count: int = 100
    ) -> tuple[str, list[Completion]]:
        """See `Ledger.completions`; never waits: the job's channel says when to look again."""
        answer = await self._redis.xread({self.keys.completions(job_id): cursor}, count=count)
        return read_stream(answer, cursor)

    async def results(self, job_id: str, indexes: Sequence[int]) -> list[bytes | None]:
        """See `Ledger.results`."""
        if not indexes:
            return []
        found: list[bytes | None] = await self._redis.hmget(self.keys.successes(job_id), indexes)
        missing = missing_in(found, indexes)
        if missing:
            put_in(found, await self._redis.hmget(self.keys.failures(job_id), missing))
        return found

    async def _run(self, request: Request[T]) -> T:
        script = self._scripts.get(request.script)
        if script is None:
            script = self._scripts[request.script] = self._redis.register_script(load_script(request.script))
        return request.read(await script(keys=request.keys, args=request.args))
