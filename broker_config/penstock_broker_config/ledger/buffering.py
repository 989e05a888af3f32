"""Where calls wait that leave together: what they have in common makes a buffer's name. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from penstock_broker_config.ledger.batch_records import BatchHeader, CallEntry


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


def buffers_of(tenant: str, tool: str, key: str) -> str:
    """How the names of all buffers of one tenant, tool and batch key begin."""
    return _short("\0".join((tenant, tool, key)).encode()) + "."


def _short(raw: bytes) -> str:
    return hashlib.blake2b(raw, digest_size=12).hexdigest()
