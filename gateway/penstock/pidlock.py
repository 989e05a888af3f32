"""A lock file with the holder's process id in it: one holder at a time, and the next one learns who it is.

The lock is the kernel's (`flock`): it goes with its holder, however that ends, so a stale file locks nobody
out.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from penstock_plugins.errors import AlreadyRunningError


class PidLock:
    """Held between `acquire` and `release`."""

    def __init__(self, path: Path, *, holder: str) -> None:
        self._path = path
        self._holder = holder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            AlreadyRunningError: another process has it; names its id.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunningError(
                f"{self._holder} runs already, as process {pid}: stop it first (kill {pid}), or use it"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two holders in."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
