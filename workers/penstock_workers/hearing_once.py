"""A signal that is heard once.

Celery's handler of SIGTERM takes locks. The same signal again, while the first is handled in the same thread,
would wait for a lock that this thread has, for ever; and the kernel tells of a parent's death once for each
of the parent's threads. Celery does nothing more at the second.
"""

from __future__ import annotations

import signal
from types import FrameType


def hear_once(number: signal.Signals) -> None:
    """Call the handler that a signal has now at its first time only. For the main thread."""
    handler = signal.getsignal(number)
    if not callable(handler):
        return

    def heard(number: int, frame: FrameType | None) -> None:
        signal.signal(number, _nothing)
        handler(number, frame)

    signal.signal(number, heard)


def _nothing(*_: object) -> None: ...
