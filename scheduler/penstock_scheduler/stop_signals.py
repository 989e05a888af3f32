"""Waits for SIGTERM and SIGINT without a lock.

A handler runs in the main thread, between any two of its steps. One that sets an event takes the event's
lock: when the main thread has it, because it begins to wait or handles the signal before, it waits for
itself for ever. Several signals at once are common: the kernel tells of a parent's death once for each of
its threads.
"""

from __future__ import annotations

import select
import signal
import socket
from types import TracebackType


class StopSignals:
    """Hears them from its beginning to its end. A context manager, for the main thread."""

    def __enter__(self) -> StopSignals:
        self._heard, told = socket.socketpair()
        self._told = told
        told.setblocking(False)
        self._before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _nothing)  # Python writes to the descriptor only for signals with a handler
        return self

    def wait(self, timeout_s: float) -> bool:
        """Whether one has come, now or in so many seconds."""
        return bool(select.select([self._heard], [], [], timeout_s)[0])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._before)
        self._heard.close()
        self._told.close()


def _nothing(*_: object) -> None: ...
