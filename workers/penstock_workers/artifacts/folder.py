"""A folder that only this user can read or write, and the rules for believing a file in it.

Every access goes through a descriptor of the folder, so that nobody who owns a folder above can swap it
between the check and the use.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock_plugins.errors import ConfigurationError

logger = logging.getLogger(__name__)

#: Begins the names of files that are being written.
UNFINISHED = ".unfinished-"


class UnbelievableFileError(Exception):
    """The file is not one that this user alone wrote; the message says why."""


class PrivateFolder:
    """The folder at one path. It is made when it is missing, at any time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the folder.

        Raises:
            ConfigurationError: it is no folder, or somebody else's.
        """
        fd = self._open()
        try:
            yield fd
        finally:
            os.close(fd)

    def read(self, folder_fd: int, name: str) -> int | None:
        """A descriptor to read this file; None when there is none.

        Raises:
            UnbelievableFileError: others may have written it.
        """
        # O_NONBLOCK: a FIFO under this name must not make us wait.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            fd = os.open(name, flags, dir_fd=folder_fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            reason = "it is a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)
            raise UnbelievableFileError(reason) from error
        try:
            _believe(os.fstat(fd))
        except UnbelievableFileError:
            os.close(fd)
            raise
        return fd

    def write(self, folder_fd: int, name: str, fill: Callable[[int], None]) -> None:
        """Put a file there, whole or not at all; `fill` writes it."""
        unfinished = f"{UNFINISHED}{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(unfinished, flags, 0o600, dir_fd=folder_fd)
        try:
            try:
                fill(fd)
            finally:
                os.close(fd)
            os.rename(unfinished, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        except BaseException:
            os.unlink(unfinished, dir_fd=folder_fd)
            raise

    def _open(self) -> int:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigurationError(
                f"cache_dir: {self.path} is no folder that can be used ({error.strerror})."
            ) from error
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            os.close(fd)
            raise ConfigurationError(
                f"cache_dir: {self.path} belongs to user {found.st_uid}, not to user {os.geteuid()} who runs "
                "this. Native code is loaded from it: choose a folder of your own."
            )
        if found.st_mode & 0o077:
            logger.warning("Others could read or write %s; taking that right away", self.path)
            os.fchmod(fd, 0o700)
        return fd


def _believe(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnbelievableFileError("it is no regular file")
    if found.st_uid != os.geteuid():
        raise UnbelievableFileError(f"it belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        raise UnbelievableFileError(f"others may use it (mode {found.st_mode & 0o777:o})")
    if found.st_nlink != 1:
        raise UnbelievableFileError("it has a second name")
