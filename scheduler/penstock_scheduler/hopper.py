"""Where the inputs of a `map` wait until a chunk of them is due. Pure: the clock is an argument.

Whoever reads the inputs puts into it, the feeder takes out of it; `Intake` and `AsyncIntake` make the one
wait for the other. At most one chunk waits here, so that an endless input takes no memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock_scheduler.chunking import FIRST_CALLS, MAX_BYTES

#: Seconds after which an incomplete chunk is due: a slow input is sent as it comes.
LINGER_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What the feeder takes at once."""

    #: Params as JSON texts, in input order. May be empty when the input has ended or is not wanted any more.
    texts: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    #: Nothing comes after this chunk: the input is over, or has failed.
    ended: bool = False
    #: Why the input failed.
    error: Exception | None = None


class Hopper:
    """Collects params until they are a chunk."""

    def __init__(self, *, linger_s: float = LINGER_S, max_bytes: int = MAX_BYTES) -> None:
        self._linger_s = linger_s
        self._max_bytes = max_bytes
        self._wanted = FIRST_CALLS
        self._texts: list[bytes] = []
        self._bytes = 0
        #: Since when the oldest of them waits.
        self._since_s = 0.0
        #: The next params do not fit: what is here is a whole chunk.
        self._overflows = False
        self._ended = False
        self._error: Exception | None = None
        #: The rest of the input is not wanted.
        self.stopped = False

    def want(self, calls: int) -> None:
        """How many calls the next chunk should have. Whoever waits for room should ask again."""
        self._wanted = calls
        self._overflows = False

    def fits(self, text: bytes) -> bool:
        """Whether these params may be put in now; if not, wait until a chunk was taken."""
        if not self._texts:
            return True
        if len(self._texts) < self._wanted and self._bytes + len(text) <= self._max_bytes:
            return True
        self._overflows = True
        return False

    def put(self, text: bytes, *, now_s: float) -> bool:
        """Add params that fit; True when this changes when the chunk is due."""
        if not self._texts:
            self._since_s = now_s
        self._texts.append(text)
        self._bytes += len(text)
        return len(self._texts) == 1 or len(self._texts) >= self._wanted

    def end(self, error: Exception | None = None) -> None:
        """The input is over; `error` is why it failed."""
        self._ended = True
        self._error = error

    def due_in_s(self, now_s: float) -> float | None:
        """Seconds until a chunk is due: 0 when it is; None while there is nothing to send."""
        if self.stopped or self._ended or self._overflows or len(self._texts) >= self._wanted:
            return 0.0
        if not self._texts:
            return None
        return max(0.0, self._since_s + self._linger_s - now_s)

    def take(self) -> Chunk:
        """What is here, as a chunk; the hopper is empty after it."""
        if self.stopped:
            return Chunk()
        chunk = Chunk(texts=self._texts, size_bytes=self._bytes, ended=self._ended, error=self._error)
        self._texts, self._bytes, self._overflows = [], 0, False
        return chunk
