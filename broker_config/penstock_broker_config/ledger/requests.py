"""What a script of the ledger is asked, and how its answer is read; shared by both clients.

A `Request` is data: a script's name, its keys, its arguments, and the function that reads the answer. The
blocking and the asyncio client differ only in how they send it. Who asks what: `producing`, `working`,
`scheduling`, `limits`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

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


def job_of(batch_id: str) -> str:
    """The job that a batch (or call) belongs to: its id is `job.index`."""
    return batch_id.rpartition(".")[0]


def text(value: bytes | str) -> str:
    """What Redis answered, as text."""
    return value.decode() if isinstance(value, bytes) else value
