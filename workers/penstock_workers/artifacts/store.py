"""Native code on this host's disk: written once, authenticated, and copied out of reach before it is checked.

A flipped bit in such a file is other native code that runs, so none is loaded from the disk. Its bytes are
copied into a sealed memfd and checked there; what is handed out is what was checked. A file that fails any
check is as good as a missing one.

    folder (0700)/key                32 random bytes (0600)
    folder/NAME.cwasm                magic, code of authentication, native code
    folder/NAME.lock                 held by the process that compiles it
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from penstock_plugins.limits import MIB
from penstock_workers.artifacts.file_lock import HostLocks
from penstock_workers.artifacts.fleet import Fleet
from penstock_workers.artifacts.folder import UNFINISHED, PrivateFolder, UnbelievableFileError
from penstock_workers.artifacts.host_key import HostKey
from penstock_workers.artifacts.identity import ArtifactIdentity
from penstock_workers.artifacts.mac import MAC_BYTES, code_mac, owned_name
from penstock_workers.artifacts.memfd import copy_file, sealed_memfd
from penstock_workers.artifacts.source import Origin

logger = logging.getLogger(__name__)

#: Begins each file; changes when the layout does.
_MAGIC = b"penstock-code-2\n"
_HEADER_BYTES = len(_MAGIC) + MAC_BYTES
_SUFFIX = ".cwasm"
#: Bytes of native code that are read; the compile process is not allowed to write as much.
_MAX_CODE_BYTES = 1024 * MIB
#: Seconds after which what a killed process left unfinished is removed.
_ABANDONED_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """Native code that was checked, in a sealed memfd; the caller closes it."""

    fd: int
    origin: Origin

    @property
    def compiled(self) -> bool:
        """Whether it was compiled just now, by this process."""
        return self.origin is Origin.COMPILED


class ArtifactStore:
    """The artifacts in one folder that were authenticated with one key.

    Without a key it makes its own and keeps it in the folder. Who shares a folder but not the trust (hosts
    with a common home, say) gives each its own key: they neither believe nor overwrite each other's files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        key: bytes | None = None,
        fleet: Fleet | None = None,
        max_bytes: int = 8192 * MIB,
        lock_wait_s: float = 600.0,
    ) -> None:
        self._folder = PrivateFolder(folder)
        self._locks = HostLocks()
        self._key = HostKey(self._folder, self._locks, key=key, lock_wait_s=lock_wait_s)
        #: The other hosts, which may have compiled it and may want what this one has. None: this host alone.
        self._fleet = fleet
        self._max_bytes = max_bytes
        self._lock_wait_s = lock_wait_s

    def obtain(self, identity: ArtifactIdentity, compile_it: Callable[[], int]) -> Obtained:
        """The artifact of this identity: from the disk, else from the fleet, when it can be believed.

        Else it is compiled, once per host, and offered to the fleet.

        Args:
            identity: Which one.
            compile_it: Makes it; returns a sealed memfd.

        Raises:
            ArtifactError: it cannot be had; `CompileError` when compiling failed.
            ConfigurationError: the folder is not this user's.
        """
        with self._folder.opened() as folder_fd:
            key = self._key.use(folder_fd)
            name = owned_name(identity, key)
            loaded = self._loaded(folder_fd, name, identity, key)
            if loaded is not None:
                return loaded
            with self._locks.hold(folder_fd, f"{name}.lock", wait_s=self._lock_wait_s):
                # Somebody else may have compiled it while we waited.
                loaded = self._loaded(folder_fd, name, identity, key)
                if loaded is not None:
                    return loaded
                made = self._take_or_compile(identity, compile_it)
                self._save(folder_fd, name, identity, key, made.fd)
                return made

    def prune(self) -> None:
        """Remove what was not used for longest, until the rest fits, and what was left unfinished."""
        with self._folder.opened() as folder_fd:
            self._prune(folder_fd, keep="")

    def after_fork_child(self) -> None:
        """In a pool process: hold neither the key nor a lock. This store is of no use there afterwards."""
        self._key.forget()
        self._locks.after_fork_child()
        if self._fleet is not None:
            self._fleet.after_fork_child()

    def _take_or_compile(self, identity: ArtifactIdentity, compile_it: Callable[[], int]) -> Obtained:
        if self._fleet is None:
            return Obtained(fd=compile_it(), origin=Origin.COMPILED)
        taken_fd = self._fleet.take(identity)
        if taken_fd is not None:
            return Obtained(fd=taken_fd, origin=Origin.FLEET)
        try:
            code_fd = compile_it()
        except BaseException:
            self._fleet.give_up(identity)
            raise
        self._fleet.offer(identity, code_fd)
        return Obtained(fd=code_fd, origin=Origin.COMPILED)

    def _loaded(
        self, folder_fd: int, name: str, identity: ArtifactIdentity, key: bytearray
    ) -> Obtained | None:
        code_fd = self._load(folder_fd, name, identity, key)
        if code_fd is None:
            return None
        if self._fleet is not None:
            self._fleet.offer(identity, code_fd)  # compiled before there was a fleet, or forgotten by it
        return Obtained(fd=code_fd, origin=Origin.DISK)

    def _load(self, folder_fd: int, name: str, identity: ArtifactIdentity, key: bytearray) -> int | None:
        try:
            file_fd = self._folder.read(folder_fd, name + _SUFFIX)
            if file_fd is None:
                return None
            try:
                code_fd = _checked_copy(file_fd, identity, key)
                with contextlib.suppress(OSError):
                    os.utime(file_fd)  # says that it is used, for `prune`
            finally:
                os.close(file_fd)
        except (UnbelievableFileError, OSError) as reason:
            logger.warning(
                "The native code in %s is not used: %s; compiling it again",
                self._folder.path / (name + _SUFFIX),
                reason,
                extra={"action": "artifact_refused", "digest": identity.digest, "reason": str(reason)},
            )
            return None
        return code_fd

    def _save(
        self, folder_fd: int, name: str, identity: ArtifactIdentity, key: bytearray, code_fd: int
    ) -> None:
        """Keep it for the next time. A disk that is full or read-only costs a compile then, nothing now."""
        size = os.fstat(code_fd).st_size

        def fill(fd: int) -> None:
            os.write(fd, _MAGIC + code_mac(key, identity, code_fd))
            if copy_file(code_fd, fd, offset=0, count=size) != size:
                raise OSError("the copy is too short")

        try:
            self._folder.write(folder_fd, name + _SUFFIX, fill)
            self._prune(folder_fd, keep=name + _SUFFIX)
        except OSError as error:
            logger.warning(
                "Native code could not be kept in %s: %s",
                self._folder.path,
                error,
                extra={"action": "artifact_not_kept", "digest": identity.digest},
            )

    def _prune(self, folder_fd: int, *, keep: str) -> None:
        found = []
        for name in os.listdir(folder_fd):
            try:
                entry = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if name.startswith(UNFINISHED) and time.time() - entry.st_mtime > _ABANDONED_S:
                _remove(folder_fd, name)
            elif name.endswith(_SUFFIX):
                found.append((entry.st_mtime, entry.st_size, name))
        total = sum(size for _, size, _ in found)
        for _, size, name in sorted(found):
            if total <= self._max_bytes:
                break
            if name != keep:
                _remove(folder_fd, name)
                _remove(folder_fd, name.removesuffix(_SUFFIX) + ".lock")
                total -= size


def _checked_copy(file_fd: int, identity: ArtifactIdentity, key: bytearray) -> int:
    """A sealed memfd with the file's native code: the seal comes first, then the check, on the copy.

    Raises:
        UnbelievableFileError: the file is damaged, or another's.
    """
    size = os.fstat(file_fd).st_size - _HEADER_BYTES
    header = os.pread(file_fd, _HEADER_BYTES, 0)
    if not 0 < size <= _MAX_CODE_BYTES or not header.startswith(_MAGIC):
        raise UnbelievableFileError("it is no artifact, or not a whole one")

    def fill(fd: int) -> None:
        copied = copy_file(file_fd, fd, offset=_HEADER_BYTES, count=size)
        if copied != size:
            raise UnbelievableFileError("it changed while it was read")

    code_fd = sealed_memfd("penstock-code", fill)
    if not hmac.compare_digest(header[len(_MAGIC) :], code_mac(key, identity, code_fd)):
        os.close(code_fd)
        raise UnbelievableFileError("it was changed, or another key or another system wrote it")
    return code_fd


def _remove(folder_fd: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder_fd)
