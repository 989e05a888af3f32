"""Notices that a worker has stopped working although it lives."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from penstock_broker_config.heartbeat import HeartbeatFile

logger = logging.getLogger(__name__)

#: Seconds for which used credit may exceed the requests that explain it. Requests are handed over at once,
#: so that even one second would be long.
STALL_S = 5.0
#: Seconds without a beat after which the worker's loop is taken for hung, and the worker ends itself.
HUNG_S = 60.0
#: Exit status of a worker that ended itself so that its supervisor starts it anew (EX_TEMPFAIL).
EXIT_HUNG = 75


@dataclass(slots=True)
class CreditWatch:
    """Compares the consumer's used prefetch credit with the requests that explain it."""

    _since: float | None = field(default=None, init=False)

    def stalled(self, used: int, requests: int, *, now: float) -> bool:
        """Whether credit has been missing for `STALL_S`.

        Args:
            used: deliveries that count against the prefetch limit.
            requests: requests that the worker has and has not finished.
            now: seconds of a monotonic clock.
        """
        if used <= requests:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        return now - self._since >= STALL_S


class Pulse:
    """The heartbeat of the worker's main loop: a file for probes, and a thread that ends a hung worker."""

    def __init__(self, file: Path | None, *, on_hung: Callable[[], None] | None = None) -> None:
        self._file = HeartbeatFile(file)
        self._on_hung = on_hung or _exit_hung
        self._last = time.monotonic()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Watch from now on."""
        self.beat()
        threading.Thread(target=self._watch, name="penstock-pulse", daemon=True).start()

    def beat(self) -> None:
        """The loop turns."""
        self._last = time.monotonic()
        self._file.beat()

    def stop(self) -> None:
        """The worker stops: its loop may rest."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(HUNG_S / 10):
            if time.monotonic() - self._last > HUNG_S:
                logger.critical("The worker's loop has not turned for %d s; ending the worker", HUNG_S)
                self._on_hung()
                return


def _exit_hung() -> None:
    os._exit(EXIT_HUNG)
