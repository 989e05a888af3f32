"""How much of a caller's wait is left."""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock_plugins.errors import ConfigurationError


class Countdown:
    """Counts a wait down from when it is made.

    Args:
        wait_s: seconds; None waits for ever, 0 looks once.
        clock: monotonic seconds.
    """

    def __init__(self, wait_s: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        if wait_s is not None and not wait_s >= 0:
            raise ConfigurationError(f"wait_s must not be negative, got {wait_s}")
        #: What was asked for.
        self.wait_s = wait_s
        self._clock = clock
        self._until = None if wait_s is None else clock() + wait_s

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self._until is not None and self._clock() >= self._until

    def slice_s(self, longest_s: float) -> float:
        """Seconds to wait now: what is left, at most `longest_s`."""
        if self._until is None:
            return longest_s
        return min(longest_s, max(0.0, self._until - self._clock()))
