"""How many calls of a `map` travel together: enough that the message costs little, few enough to share out.

Pure: costs come from the ledger's answers. One message costs about as much as ten to a hundred small calls,
so a chunk is 50 to 100 ms of work; what one worker holds while others are idle stays below that too.
"""

from __future__ import annotations

#: Seconds of work that a chunk should be.
TARGET_S = 0.1
#: Calls of one chunk at most, whatever they cost.
MAX_CALLS = 512
#: Bytes of params in one chunk at most; a single call may be larger than that by itself.
MAX_BYTES = 1024 * 1024
#: The first chunk of a tool that was never measured, and the largest before it is.
FIRST_CALLS = 8
UNMEASURED_CALLS = 64


class ChunkSizer:
    """Chooses the next chunk's size from the measured cost of a call."""

    def __init__(self) -> None:
        self._cost_us: float | None = None
        self._unmeasured = FIRST_CALLS

    @property
    def calls(self) -> int:
        """Calls that the next chunk should have."""
        if self._cost_us is None:
            return self._unmeasured
        return max(1, min(MAX_CALLS, int(TARGET_S * 1_000_000 / max(self._cost_us, 1.0))))

    def sent(self, cost_us: float | None) -> None:
        """A chunk was accepted; `cost_us` is what the ledger says that a call costs, None when unknown."""
        if cost_us is not None:
            self._cost_us = cost_us
        else:
            self._unmeasured = min(2 * self._unmeasured, UNMEASURED_CALLS)
