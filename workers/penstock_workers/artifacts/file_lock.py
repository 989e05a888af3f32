"""One process of this host at a time, by a lock on a file."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from penstock_plugins.errors import ArtifactError

logger = logging.getLogger(__name__)

#: Waits between two looks at a lock that somebody else holds: the first, the longest.
_WAITS_S = (0.005, 0.1)


class HostLocks:
    """Locks on files of one folder, and the ones that this process holds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: set[int] = set()

    @contextmanager
    def hold(self, folder_fd: int, name: str, *, wait_s: float) -> Iterator[None]:
        """Hold the lock of this name.

        `flock`, which also keeps threads of one process apart; it is given back in words, because a child
        that was forked meanwhile shares it and would keep it otherwise. In a folder that cannot be written
        there is no lock: work may be done twice, which is better than not at all.

        Raises:
            ArtifactError: somebody else held it all the time.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, 0o600, dir_fd=folder_fd)
        except OSError as error:
            logger.warning("Going on without the lock %s: %s", name, error.strerror)
            yield
            return
        self._held.add(fd)
        try:
            self._wait(fd, name, self._clock() + wait_s)
            try:
                yield
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            self._held.discard(fd)
            os.close(fd)

    def after_fork_child(self) -> None:
        """Let go of what the parent held: when it dies, nobody holds it."""
        for fd in self._held:
            os.close(fd)
        self._held = set()

    def _wait(self, fd: int, name: str, until: float) -> None:
        pause_s, longest_s = _WAITS_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock() > until:
                    raise ArtifactError(f"Another process has been holding {name} for too long.") from None
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, longest_s)
            else:
                return
