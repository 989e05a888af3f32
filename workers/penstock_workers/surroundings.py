"""What a guest with WASI can see of time and chance: the real ones, coarse, or ones that repeat."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from typing import Protocol

#: The clock's resolution: fine enough for any tool, too coarse to time the host's caches.
RESOLUTION_NS = 1_000_000


class Surroundings(Protocol):
    """Clocks and random numbers of one call."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since some moment; never goes back."""
        ...

    def octets(self, count: int) -> bytes:
        """Random bytes."""
        ...


class RealSurroundings:
    """The host's clocks, cut to their resolution, and its random numbers."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns() // RESOLUTION_NS * RESOLUTION_NS

    def monotonic_ns(self) -> int:
        """Nanoseconds since some moment."""
        return time.monotonic_ns() // RESOLUTION_NS * RESOLUTION_NS

    def octets(self, count: int) -> bytes:
        """Random bytes."""
        return os.urandom(count)


class FrozenSurroundings:
    """The same clock readings and the same random numbers in every call."""

    def __init__(self, at_ns: int, seed: int) -> None:
        self._now_ns = at_ns
        self._random = random.Random(seed)  # noqa: S311 - repeatable is what is asked for

    def wall_ns(self) -> int:
        """Nanoseconds since 1970; a step later with every look, so that no guest waits for ever."""
        self._now_ns += RESOLUTION_NS
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds since some moment; a step later with every look."""
        return self.wall_ns()

    def octets(self, count: int) -> bytes:
        """Pseudo-random bytes."""
        return self._random.randbytes(count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """Asks for calls that repeat exactly."""

    #: Seconds since 1970 at which every call begins.
    at_s: float = 0.0
    seed: int = 0

    def __call__(self) -> Surroundings:
        """The surroundings of one call."""
        return FrozenSurroundings(int(self.at_s * 1e9), self.seed)
