"""Waiting on a condition, with a deadline and with words for when it does not come true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds between two looks: short at first, for what happens at once; then longer, not to be in the way.
_FIRST_LOOK_S = 0.002
_SLOWEST_LOOK_S = 0.05


def wait_until(condition: Callable[[], T], timeout_s: float, what: str | Callable[[], str]) -> T:
    """Wait until the condition gives something true, and return that.

    Args:
        condition: asked again and again; what it raises goes through.
        timeout_s: generous. It only bounds how long a broken test takes.
        what: what was waited for, as in "the worker is ready"; a function when it costs something to say.

    Raises:
        TimeoutError: it did not come true in time; says what was waited for.
    """
    deadline = time.monotonic() + timeout_s
    pause_s = _FIRST_LOOK_S
    while True:
        # The clock is read first: the last look comes after the deadline, however long we were not scheduled.
        late = time.monotonic() > deadline
        answer = condition()
        if answer:
            return answer
        if late:
            raise TimeoutError(f"Waited {timeout_s:g} s, and not yet: {what() if callable(what) else what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _SLOWEST_LOOK_S)
