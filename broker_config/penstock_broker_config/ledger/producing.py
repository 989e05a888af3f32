"""What producers ask of the ledger: jobs, and calls that it accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import BatchHeader, CallEntry, Submitted
from penstock_broker_config.ledger.buffering import Buffer, BufferedCall, buffers_of
from penstock_broker_config.ledger.flow_records import InnerOf
from penstock_broker_config.ledger.job_records import JobState
from penstock_broker_config.ledger.limits import one_line
from penstock_broker_config.ledger.requests import Bounds, Request, Retention, text
from penstock_broker_config.value_references import size_of
from penstock_plugins.errors import ConflictError, JobNotFoundError, OverloadedError


class ProducerRequests:
    """Builds the requests of producers."""

    def __init__(self, keys: Keys, retention: Retention, bounds: Bounds) -> None:
        self._keys = keys
        self._keep = retention.args
        self._bounds = bounds

    def open_job(
        self, job_id: str, *, tool: str, digest: str, tenant: str, queue: str, deadline_s: float | None
    ) -> Request[bool]:
        deadline = "" if deadline_s is None else int(deadline_s * 1000)
        return Request(
            script="open_job",
            keys=[self._keys.jobs],
            args=[self._keys.prefix, job_id, tool, digest, tenant, queue, deadline],
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
        inner_of: InnerOf | None = None,
    ) -> Request[Submitted]:
        key, params_digest = idempotency or ("", "")
        return Request(
            script="submit",
            keys=[
                self._keys.open,
                self._keys.jobs,
                self._keys.costs,
                self._keys.catalog_version,
                self._keys.idempotency(header.tenant, header.tool, key) if key else self._keys.open,
            ],
            args=[
                self._keys.prefix,
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
                *_inner_args(inner_of),
            ],
            read=read_submitted,
        )

    def enqueue(
        self,
        header: BatchHeader,
        calls: Sequence[BufferedCall],
        buffers: Sequence[Buffer],
        *,
        base: int,
        deadline_s: float | None,
        total: int | None,
        idempotency: tuple[str, str] | None,
        single: bool,
        delay_s: float | None,
        inner_of: InnerOf | None = None,
    ) -> Request[Submitted]:
        key, params_digest = idempotency or ("", "")
        keys = self._keys
        return Request(
            script="enqueue",
            keys=[
                keys.jobs,
                keys.costs,
                keys.catalog_version,
                keys.idempotency(header.tenant, header.tool, key) if key else keys.jobs,
            ],
            args=[
                keys.prefix,
                header.job,
                base,
                len(calls),
                header.to_json(),
                header.queue,
                header.tool,
                header.digest,
                header.tenant,
                int(header.once),
                header.policy,
                _ms(deadline_s),
                "" if total is None else total,
                int(single),
                _ms(delay_s),
                params_digest if key else "",
                *self._keep,
                self._bounds.key_calls,
                *self._bounds.args,
                *_inner_args(inner_of),
                len(buffers),
                *(value for buffer in buffers for value in _spec(buffer, header)),
                *(value for one in calls for value in _call(one)),
            ],
            read=read_submitted,
        )

    def flush(self, tenant: str, tool: str, key: str) -> Request[int]:
        beginning = buffers_of(tenant, tool, key)
        return Request(script="flush", keys=[], args=[self._keys.prefix, beginning], read=int)

    def seal(self, job_id: str, *, error: str) -> Request[JobState]:
        def read(answer: bytes) -> JobState:
            if not answer:
                raise JobNotFoundError(f"There is no job {job_id}, or its results have expired")
            return JobState(text(answer))

        return Request(
            script="seal", keys=[], args=[self._keys.prefix, job_id, error, *self._keep], read=read
        )

    def cancel(self, job_id: str) -> Request[bool]:
        def read(answer: int) -> bool:
            if answer < 0:
                raise JobNotFoundError(f"There is no job {job_id}, or its results have expired")
            return answer == 1

        return Request(script="cancel", keys=[], args=[self._keys.prefix, job_id, *self._keep], read=read)


def _ms(seconds: float | None) -> str | int:
    return "" if seconds is None else int(seconds * 1000)


def _inner_args(inner_of: InnerOf | None) -> tuple[str, str, str | int]:
    return ("", "", "") if inner_of is None else (inner_of.flow, inner_of.stage, inner_of.fence)


def _call(one: BufferedCall) -> tuple[int, int, bytes]:
    return one.buffer + 1, size_of(one.call.params), orjson.dumps(one.call[1:])


def _spec(buffer: Buffer, header: BatchHeader) -> list[str | int | float]:
    values: list[str | int | float] = [
        buffer.name(header),
        buffer.key,
        buffer.max_size,
        buffer.max_bytes,
        buffer.max_wait_ms,
        len(buffer.limits),
    ]
    for limit in buffer.limits:
        values += [
            one_line(limit.key),
            *("" if v is None else v for v in (limit.concurrency, limit.rate_per_s, limit.burst)),
        ]
    return values


def read_submitted(answer: list[Any]) -> Submitted:
    """What was answered to a submission of any kind."""
    word, job_id, cost, finished, version, state, full, wait_ms = answer
    job = text(job_id)
    match text(word):
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
                f"Too much is waiting ({text(full)}): try again later",
                {"retry_after_s": int(wait_ms) / 1000},
            )
    if text(word) == "closed" and not JobState(text(state)).final:
        raise JobNotFoundError(f"Job {job} accepts no more calls: its input was ended by another")
    return Submitted(
        lost=text(word) == "lost",
        accepted=text(word) == "ok",
        job_id=job,
        cost_us=float(cost) if cost else None,
        finished=int(finished),
        catalog_version=int(version),
        state=JobState(text(state)),
        limited=text(word) == "limited",
    )
