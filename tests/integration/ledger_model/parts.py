"""What the model knows of jobs, buffers and batches. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from penstock_broker_config.ledger import BatchHeader, Buffer

FINAL = {"succeeded", "failed", "cancelled", "expired"}
MAX_ATTEMPTS = 3
RING_AFTER_MS = 5000
RESERVE_MS = 15_000
BACKOFF_MS, BACKOFF_CAP_MS = 2000, 20_000
#: A batch that waits for a limit is looked at again after this, should nobody ring.
PARKED_MS = 60_000


class Ref(NamedTuple):
    """A call."""

    job: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls here


@dataclass(slots=True)
class Job:
    """What one submission started."""

    id: str
    header: BatchHeader
    deadline: int | None
    total: int | None
    accepted: int = 0
    state: str = "queued"
    #: Index → its record, in the order in which they were recorded.
    ok: dict[int, bytes] = field(default_factory=dict)
    err: dict[int, bytes] = field(default_factory=dict)
    expired: set[int] = field(default_factory=set)
    #: Indexes that wait in a buffer.
    waiting: set[int] = field(default_factory=set)

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in FINAL

    def late(self, t: int) -> bool:
        """Whether its deadline has passed."""
        return self.deadline is not None and t > self.deadline


class Item(NamedTuple):
    """A call in a buffer. One that has ended meanwhile stays until it is its turn."""

    ref: Ref
    size: int
    accepted: int
    attempts: int


@dataclass(slots=True)
class Line:
    """A buffer."""

    name: str
    header: BatchHeader
    shape: Buffer
    keys: tuple[str, ...]
    #: A delayed buffer: when its calls go where.
    due: int | None = None
    into: str = ""
    items: list[Item] = field(default_factory=list)
    #: Calls that a producer told to leave.
    flushed: int = 0

    def leaves(self, t: int) -> bool:
        """Whether a batch of it is due: by size, bytes, age, or because somebody said so."""
        if self.due is not None or not self.items:
            return False
        return (
            len(self.items) >= self.shape.max_size
            or sum(item.size for item in self.items) >= self.shape.max_bytes
            or self.flushed > 0
            or self.items[0].accepted + self.shape.max_wait_ms <= t
        )


@dataclass(slots=True)
class Batch:
    """Calls that run together, in order."""

    id: str
    header: BatchHeader
    calls: list[Ref]
    size: int
    formed: bool
    keys: tuple[str, ...]
    #: When somebody looks at it next.
    look: int
    careful: bool
    done: int = 0
    fence: int = 0
    lease: int = 0
    holder: str = ""
    #: Losses that nobody is charged with, and those of the next call.
    losses: int = 0
    charged: int = 0
    rings: int = 0
    #: Positions whose time ran out before they ran.
    closed: set[int] = field(default_factory=set)
    parked: bool = False
    #: Of how many of its keys, the last ones, it has taken no tokens: the operator has set them since.
    unpaid: int = 0
