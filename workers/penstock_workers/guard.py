"""Stops the running guest: at its deadline, when it is cancelled, and with the process if nothing else helps.

There is one guard per process, because there is one guest call at a time per process. It has three means:

1. *Deadline.* Every store is given an epoch deadline of one step. A timer thread, not a ticker, advances
   the engine's epoch once when the running call's time is up, and the guest traps at its next loop or call.
2. *Cancel.* Any thread may advance the epoch early, for the call that it names and no other.
3. *Overrun.* Epochs do not interrupt host code. A call that is still there `grace_s` after it should have
   ended takes the process with it (SIGKILL): the calls of its batch are claimed again elsewhere.

The lock is held only while a call begins, ends or is stopped, never while a guest runs; so a call that has
just ended, or the next one, is never hit by a stop that was meant for the one before it.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Protocol

#: Steps of the epoch after which a guest traps. The guard makes one.
EPOCH_STEPS = 1

#: Seconds that a call may overrun its time before the process is killed. Covers a busy machine, and the
#: host's own work on a large output.
GRACE_S = 5.0

#: Seconds that the process waits for its last words.
_REPORT_S = 0.5

logger = logging.getLogger(__name__)


class Interruptible(Protocol):
    """What the guard needs of a wasmtime engine."""

    def increment_epoch(self) -> None:
        """Let every guest of this engine trap whose deadline is reached by one more step."""


def kill_this_process() -> None:
    """End this process at once; nothing of it can be trusted to end by itself."""
    os.kill(os.getpid(), signal.SIGKILL)


class CallGuard:
    """Knows the call that runs in this process, and stops it."""

    def __init__(
        self,
        *,
        grace_s: float = GRACE_S,
        on_overrun: Callable[[], None] = kill_this_process,
    ) -> None:
        self._grace_s = grace_s
        self._on_overrun = on_overrun
        # Held by itself where nothing is waited for: a condition enters its lock in Python.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._owner_pid: int | None = None
        self._watcher: threading.Thread | None = None
        #: When the timer thread looks next, by the monotonic clock. It is never later than the next thing
        #: to do, so that `begin` has to wake the thread only for a call with an unusually short time.
        self._wakes_at = math.inf
        self._token: str | None = None
        self._engine: Interruptible | None = None
        self._deadline = math.inf
        self._cancelled = False
        self._timed_out = False
        self._overran = False
        #: Until when this process may run anything at all; a lease that is kept moves it.
        self._lease_until = math.inf
        self._outlived = False

    def hold_until(self, at: float) -> None:
        """No call runs past this moment of the monotonic clock; `math.inf`: nothing but its own time counts.

        A process that was stopped and continued finds its lease over before it does anything else.
        """
        with self._lock:
            self._lease_until = at
            if at == math.inf:
                self._outlived = False
            if self._token is not None and at < self._wakes_at:
                self._changed.notify()

    def begin(self, token: str, engine: Interruptible, timeout_s: float) -> None:
        """Watch over a call from now on. The call's store already has its deadline of `EPOCH_STEPS`, so
        that no stop can fall between the two.

        Raises:
            RuntimeError: another call runs. A process runs one guest at a time.
        """
        with self._lock:
            if self._token is not None:
                raise RuntimeError(f"call {self._token} still runs: a process runs one guest call at a time")
            if self._owner_pid != os.getpid():
                self._start()
            self._token = token
            self._engine = engine
            self._cancelled = self._timed_out = self._overran = self._outlived = False
            self._deadline = time.monotonic() + timeout_s
            if min(self._deadline, self._lease_until) < self._wakes_at:
                self._changed.notify()

    def end(self) -> None:
        """The call is over, or the part of it that a guest can hold up."""
        with self._lock:
            self._token = self._engine = None

    def cancel(self, token: str) -> bool:
        """Stop that call if it is the one that runs. Returns whether it was."""
        with self._lock:
            if self._token != token:
                return False
            self._cancelled = True
            self._stop()
            return True

    def close(self) -> None:
        """End the timer thread; the next call starts another. Closing twice is fine."""
        with self._changed:
            self._owner_pid = None
            self._changed.notify()

    @property
    def running(self) -> str | None:
        """The token of the call that runs."""
        return self._token

    @property
    def cancelled(self) -> bool:
        """Whether the running call, or the one that ended last, was cancelled."""
        return self._cancelled

    @property
    def timed_out(self) -> bool:
        """Whether the running call, or the one that ended last, was stopped at its deadline."""
        return self._timed_out

    @property
    def outlived(self) -> bool:
        """Whether the running call, or the one that ended last, was stopped because the lease was over.

        A lease that is taken or given back (`hold_until` with `math.inf`) begins anew.
        """
        return self._outlived

    def _stop(self) -> None:
        if self._engine is not None:
            self._engine.increment_epoch()

    def _start(self) -> None:
        # Threads do not survive a fork: the first call in a child starts the child's own.
        self._owner_pid = os.getpid()
        self._wakes_at = math.inf
        self._watcher = threading.Thread(target=self._watch, name="penstock-guard", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                if self._owner_pid is None or self._watcher is not me:
                    return
                overran = self._look(time.monotonic())
                if not overran:
                    self._changed.wait(
                        None if self._wakes_at == math.inf else self._wakes_at - time.monotonic()
                    )
                token = self._token
            if overran:
                self._report(token)
                self._on_overrun()

    def _report(self, token: str | None) -> None:
        # In a thread of its own: the call may be stuck in the very handler that this would wait for.
        words = "Call %s did not come back in its time, and this process ends"
        extra = {"action": "call_overran", "call_id": token}
        reporter = threading.Thread(
            target=logger.critical, args=(words, token), kwargs={"extra": extra}, daemon=True
        )
        reporter.start()
        reporter.join(_REPORT_S)

    def _look(self, now: float) -> bool:
        """Stop the running call if its time is up, and plan the next look. Says whether it overran."""
        self._wakes_at = math.inf
        if self._token is None or self._overran:
            return False
        ends = min(self._deadline, self._lease_until)
        if now < ends:
            self._wakes_at = ends
            return False
        if not (self._timed_out or self._cancelled):
            # A lease that is over is nothing that the call did.
            self._cancelled = self._outlived = ends < self._deadline
            self._timed_out = not self._cancelled
            self._stop()
        if now < ends + self._grace_s:
            self._wakes_at = ends + self._grace_s
            return False
        self._overran = True
        return True
