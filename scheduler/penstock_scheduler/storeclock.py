"""Redis's clock, told from this process's: asked for now and then, and reckoned in between. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds for which an answer is good; clocks drift by far less than matters to an expiry.
GOOD_FOR_S = 60.0


class StoreClock:
    """Reckons Redis's time.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_s: float | None = None
        self._then_ms = 0

    def now_ms(self) -> int | None:
        """Redis's time in milliseconds; None when it must be asked again."""
        if self._asked_s is None:
            return None
        passed_s = self._clock() - self._asked_s
        return self._then_ms + int(1000 * passed_s) if passed_s < GOOD_FOR_S else None

    def set(self, answer: tuple[int, int]) -> int:
        """What Redis's TIME answered just now: seconds and microseconds. Returns milliseconds."""
        self._then_ms = answer[0] * 1000 + answer[1] // 1000
        self._asked_s = self._clock()
        return self._then_ms
