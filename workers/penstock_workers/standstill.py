"""Ends a process whose Python has stood still: the last of the means against a call that does not come back.

The guard is a thread, and needs the interpreter's lock to act. Native code that keeps the lock keeps the
guard from acting too: a schema of a few kilobytes, whose references double at every level, would keep the
validator busy for years. So the kernel holds a limit on the process's CPU time, and a thread moves that limit
on as long as it gets to run. When it does not, the kernel ends the process with SIGXCPU; its batch is claimed
again, and the call that did it ends as a dead letter.
"""

from __future__ import annotations

import math
import os
import resource
import signal
import threading

#: Seconds of CPU that the process may use before its Python must have had a turn.
ALLOWANCE_S = 20.0
#: Seconds between two moves of the limit.
MOVE_EVERY_S = 2.0


class StandstillWatch:
    """Moves the limit on. One per process that runs calls, made after the fork."""

    def __init__(self, *, allowance_s: float = ALLOWANCE_S, move_every_s: float = MOVE_EVERY_S) -> None:
        self._allowance_s = allowance_s
        self._move_every_s = move_every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_moving, name="penstock-standstill", daemon=True)

    def start(self) -> None:
        """Set the limit and keep moving it, in a daemon thread.

        The limit is the process's own: a program that only borrows an executor does not want it.
        """
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        self._move()
        self._thread.start()

    def stop(self) -> None:
        """Take the limit away."""
        self._stopped.set()
        self._thread.join()
        _, hard_s = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (hard_s, hard_s))

    def _keep_moving(self) -> None:
        while not self._stopped.wait(self._move_every_s):
            self._move()

    def _move(self) -> None:
        _, hard_s = resource.getrlimit(resource.RLIMIT_CPU)
        times = os.times()
        soft_s = math.ceil(times.user + times.system + self._allowance_s)
        if hard_s != resource.RLIM_INFINITY:
            soft_s = min(soft_s, hard_s)
        resource.setrlimit(resource.RLIMIT_CPU, (soft_s, hard_s))
