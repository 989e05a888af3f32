"""What a `map` has in flight, and whether more may follow. Pure."""

from __future__ import annotations

from collections import deque

#: Bytes of params that one map may have in flight: what it keeps in Redis's memory.
MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024


class Window:
    """Counts the calls and bytes that were submitted and have not ended.

    The ledger says how many calls ended, not which. Chunks are run about in the order in which they were
    submitted, so the oldest ones are taken for the ended ones when bytes are counted.
    """

    def __init__(self, *, max_calls: int, max_bytes: int = MAX_IN_FLIGHT_BYTES, finished: int = 0) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._submitted = finished
        self._finished = finished
        self._bytes = 0
        #: (calls submitted up to and with this chunk, its bytes), oldest first.
        self._chunks: deque[tuple[int, int]] = deque()

    @property
    def calls(self) -> int:
        """Calls in flight."""
        return self._submitted - self._finished

    @property
    def bytes(self) -> int:
        """Bytes in flight."""
        return self._bytes

    def has_room(self, calls: int, size_bytes: int) -> bool:
        """Whether a chunk may follow now. With nothing in flight any chunk may."""
        if self.calls <= 0:
            return True
        return self.calls + calls <= self._max_calls and self._bytes + size_bytes <= self._max_bytes

    def submitted(self, calls: int, size_bytes: int) -> None:
        """A chunk was accepted."""
        self._submitted += calls
        self._chunks.append((self._submitted, size_bytes))
        self._bytes += size_bytes

    def finished(self, calls: int) -> None:
        """So many calls of the job have ended in all; an older, smaller figure changes nothing."""
        self._finished = max(self._finished, calls)
        while self._chunks and self._chunks[0][0] <= self._finished:
            self._bytes -= self._chunks.popleft()[1]
