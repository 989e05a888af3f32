"""Calls that wait to leave together: how they get into buffers, and how batches are formed of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.records import BatchHeader, CallEntry, Overdue, Submitted
from penstock_broker_config.ledger.requests import Bounds, Request, Retention, read_overdue, read_submitted
from penstock_broker_config.value_references import size_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredLimit:
    """A limit as the tool declares it; what the operator sets for its key counts first."""

    key: str
    #: Batches of this key that run at once, over all hosts. None: as many as there are.
    concurrency: int | None = None
    #: Calls that may start in a second, and at once after a while without any.
    rate_per_s: float | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """Where calls wait that may leave in one batch.

    Calls of one buffer have everything in common but their params: its name is made of all of it.
    """

    #: The batch key as the caller or the tool gives it; "" for calls that wait for a limit only.
    key: str = ""
    #: A batch leaves when it has so many calls, so many bytes, or when its oldest call has waited so long.
    max_size: int = 64
    max_bytes: int = 1 << 20
    max_wait_ms: int = 0
    limits: tuple[DeclaredLimit, ...] = field(default=())

    def name(self, header: BatchHeader) -> str:
        """The buffer's name for calls with that header."""
        limits = [limit.key for limit in self.limits]
        rest = [header.digest, header.queue, header.once, header.policy, limits]
        shape = [*rest, self.max_size, self.max_bytes, self.max_wait_ms]
        return buffers_of(header.tenant, header.tool, self.key) + _short(orjson.dumps(shape))


class BufferedCall(NamedTuple):
    """A call and where it waits."""

    call: CallEntry
    #: Position in the list of buffers that it is sent with.
    buffer: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchTerms:
    """How batches are formed."""

    #: Batches in one go.
    limit: int = 50
    #: Seconds after which the reaper rings, should the dispatcher not have.
    ring_after_s: float = 5.0
    #: Seconds for which a slot is kept for a batch that no worker has claimed.
    reserve_s: float = 15.0
    #: Batches of one queue that wait for a worker, beside twice as many as run.
    waiting: int = 8


class Dispatched(NamedTuple):
    """What a dispatcher does next."""

    #: Batches whose doorbells are to be rung.
    batches: list[Overdue]
    #: Seconds until something leaves. None: nothing that is known.
    next_s: float | None


def buffers_of(tenant: str, tool: str, key: str) -> str:
    """How the names of all buffers of one tenant, tool and batch key begin."""
    return _short("\0".join((tenant, tool, key)).encode()) + "."


def _short(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=12).hexdigest()


class BufferRequests:
    """Builds the requests about waiting calls."""

    def __init__(self, keys: Keys, retention: Retention, bounds: Bounds) -> None:
        self._keys = keys
        self._keep = retention.args
        self._bounds = bounds

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
                len(buffers),
                *(value for buffer in buffers for value in _spec(buffer, header)),
                *(value for one in calls for value in _call(one)),
            ],
            read=read_submitted,
        )

    def flush(self, tenant: str, tool: str, key: str) -> Request[int]:
        beginning = buffers_of(tenant, tool, key)
        return Request(script="flush", keys=[], args=[self._keys.prefix, beginning], read=int)

    def dispatch(self, terms: DispatchTerms) -> Request[Dispatched]:
        return Request(
            script="dispatch",
            keys=[self._keys.open, self._keys.costs],
            args=[
                self._keys.prefix,
                terms.limit,
                int(terms.ring_after_s * 1000),
                int(terms.reserve_s * 1000),
                terms.waiting,
                *self._keep,
            ],
            read=_read_dispatched,
        )


def _ms(seconds: float | None) -> str | int:
    return "" if seconds is None else int(seconds * 1000)


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
            limit.key,
            *("" if v is None else v for v in (limit.concurrency, limit.rate_per_s, limit.burst)),
        ]
    return values


def _read_dispatched(answer: list[Any]) -> Dispatched:
    wait_ms = int(answer[0])
    return Dispatched(read_overdue(answer[1:]), None if wait_ms < 0 else wait_ms / 1000)
