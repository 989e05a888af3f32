"""How much of a `map` travels together: enough that the message costs little, little enough to share out.

Pure: costs come from the ledger's answers. One message costs about as much as ten to a hundred small calls,
so a chunk is 50 to 100 ms of work; what one worker holds while others are idle stays below that too. A
message of a run costs more, and a pool process does not go on with the next one by itself: once a run has had
so many chunks that everybody has some, they grow.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds of work that a chunk should be.
TARGET_S = 0.1
#: A chunk that grows is at most such a share of all that was sent before it.
SHARE = 8
#: Bytes of params in one chunk at most; a single call may be larger than that by itself.
MAX_BYTES = 1024 * 1024
#: The first chunk of a tool that was never measured, and the largest before it is.
FIRST_CALLS = 8
UNMEASURED_CALLS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkBounds:
    """How large chunks may become."""

    #: Calls or items, whatever they cost.
    count: int
    #: Seconds of work.
    work_s: float


OF_CALLS = ChunkBounds(count=512, work_s=TARGET_S)
OF_ITEMS = ChunkBounds(count=512, work_s=2 * TARGET_S)


class ChunkSizer:
    """Chooses the next chunk's size from the measured cost of a call, or of an item.

    Args:
        bounds: what no chunk is larger than.
    """

    def __init__(self, bounds: ChunkBounds = OF_CALLS) -> None:
        self._bounds = bounds
        self._cost_us: float | None = None
        self._unmeasured = FIRST_CALLS
        self._sent = 0

    @property
    def count(self) -> int:
        """How many the next chunk should have."""
        if self._cost_us is None:
            return self._unmeasured
        cost_s = max(self._cost_us, 1.0) / 1_000_000
        work_s = min(max(TARGET_S, self._sent * cost_s / SHARE), self._bounds.work_s)
        return max(1, min(self._bounds.count, int(work_s / cost_s)))

    def sent(self, count: int, cost_us: float | None) -> None:
        """A chunk was accepted.

        Args:
            count: how many it had.
            cost_us: microseconds that the ledger says each of them takes. None: unknown.
        """
        self._sent += count
        if cost_us is not None:
            self._cost_us = cost_us
        else:
            self._unmeasured = min(2 * self._unmeasured, UNMEASURED_CALLS)
