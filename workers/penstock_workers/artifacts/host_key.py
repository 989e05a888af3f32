"""The key that native code on this host is authenticated with. Only the worker's parent holds it."""

from __future__ import annotations

import logging
import os
import secrets

from penstock_plugins.errors import ArtifactError, ConfigurationError
from penstock_workers.artifacts.file_lock import HostLocks
from penstock_workers.artifacts.folder import PrivateFolder, UnbelievableFileError

logger = logging.getLogger(__name__)

KEY_BYTES = 32
_FILE = "key"


class HostKey:
    """A key that was given, or the one in the folder, made when it is missing or cannot be believed."""

    def __init__(
        self, folder: PrivateFolder, locks: HostLocks, *, key: bytes | None, lock_wait_s: float
    ) -> None:
        if key is not None and len(key) != KEY_BYTES:
            raise ConfigurationError(f"The key of the artifact store has {KEY_BYTES} bytes, not {len(key)}.")
        self._folder = folder
        self._locks = locks
        self._lock_wait_s = lock_wait_s
        self._key = None if key is None else bytearray(key)
        self._forgot = False

    def use(self, folder_fd: int) -> bytearray:
        """The key.

        Raises:
            ArtifactError: this process was told to forget it.
        """
        if self._forgot:
            raise ArtifactError("This process was forked from the one that holds the key of the artifacts.")
        if self._key is None:
            self._key = self._read(folder_fd)
        if self._key is None:
            with self._locks.hold(folder_fd, f"{_FILE}.lock", wait_s=self._lock_wait_s):
                self._key = self._read(folder_fd) or self._make(folder_fd)
        return self._key

    def forget(self) -> None:
        """Overwrite the key in this process's memory, and never read it again."""
        self._forgot = True
        if self._key is not None:
            self._key[:] = bytes(KEY_BYTES)
            self._key = None

    def _read(self, folder_fd: int) -> bytearray | None:
        try:
            fd = self._folder.read(folder_fd, _FILE)
        except UnbelievableFileError as reason:
            self._refuse(str(reason))
            return None
        if fd is None:
            return None
        try:
            key = bytearray(os.read(fd, KEY_BYTES + 1))
        finally:
            os.close(fd)
        if len(key) != KEY_BYTES:
            self._refuse("it is no key")
            return None
        return key

    def _refuse(self, reason: str) -> None:
        logger.warning(
            "The key in %s is not used: %s; making a new one, everything is compiled again",
            self._folder.path,
            reason,
            extra={"action": "artifact_key_refused", "reason": reason},
        )

    def _make(self, folder_fd: int) -> bytearray:
        key = bytearray(secrets.token_bytes(KEY_BYTES))
        try:
            self._folder.write(folder_fd, _FILE, lambda fd: _write(fd, key))
        except OSError as error:
            logger.warning("The new key could not be kept in %s: %s", self._folder.path, error)
        return key


def _write(fd: int, key: bytearray) -> None:
    if os.write(fd, key) != len(key):
        raise OSError("the disk took only a part of the key")
