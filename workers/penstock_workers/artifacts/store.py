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
import mmap
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from penstock_plugins.limits import MIB
from penstock_workers.artifacts.file_lock import HostLocks
from penstock_workers.artifacts.folder import UNFINISHED, PrivateFolder, UnbelievableFileError
from penstock_workers.artifacts.host_key import HostKey
from penstock_workers.artifacts.identity import ArtifactIdentity
from penstock_workers.artifacts.memfd import copy_file, sealed_memfd

logger = logging.getLogger(__name__)

#: Begins each file; changes when the layout does.
_MAGIC = b"penstock-code-1\n"
_MAC_BYTES = 32
_HEADER_BYTES = len(_MAGIC) + _MAC_BYTES
_SUFFIX = ".cwasm"
#: Bytes of native code that are read; the compile process is not allowed to write as much.
_MAX_CODE_BYTES = 1024 * MIB
#: Seconds after which what a killed process left unfinished is removed.
_ABANDONED_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """Native code that was checked, in a sealed memfd; the caller closes it."""

    fd: int
    #: Whether it was compiled just now, by this process.
    compiled: bool


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
        max_bytes: int = 8192 * MIB,
        lock_wait_s: float = 600.0,
    ) -> None:
        self._folder = PrivateFolder(folder)
        self._locks = HostLocks()
        self._key = HostKey(self._folder, self._locks, key=key, lock_wait_s=lock_wait_s)
        self._max_bytes = max_bytes
        self._lock_wait_s = lock_wait_s

    def obtain(self, identity: ArtifactIdentity, compile_it: Callable[[], int]) -> Obtained:
        """The artifact of this identity: from the disk when it can be believed, else compiled, once per host.

        Args:
            identity: Which one.
            compile_it: Makes it; returns a sealed memfd.

        Raises:
            ArtifactError: it cannot be had; `CompileError` when compiling failed.
            ConfigurationError: the folder is not this user's.
        """
        with self._folder.opened() as folder_fd:
            key = self._key.use(folder_fd)
            name = _file_name(identity, key)
            code_fd = self._load(folder_fd, name, identity, key)
            if code_fd is not None:
                return Obtained(fd=code_fd, compiled=False)
            with self._locks.hold(folder_fd, f"{name}.lock", wait_s=self._lock_wait_s):
                code_fd = self._load(folder_fd, name, identity, key)
                if code_fd is not None:  # somebody else compiled it while we waited
                    return Obtained(fd=code_fd, compiled=False)
                code_fd = compile_it()
                self._save(folder_fd, name, identity, key, code_fd)
                return Obtained(fd=code_fd, compiled=True)

    def prune(self) -> None:
        """Remove what was not used for longest, until the rest fits, and what was left unfinished."""
        with self._folder.opened() as folder_fd:
            self._prune(folder_fd, keep="")

    def after_fork_child(self) -> None:
        """In a pool process: hold neither the key nor a lock. This store is of no use there afterwards."""
        self._key.forget()
        self._locks.after_fork_child()

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
            os.write(fd, _MAGIC + _mac(key, identity, code_fd))
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
    if not hmac.compare_digest(header[len(_MAGIC) :], _mac(key, identity, code_fd)):
        os.close(code_fd)
        raise UnbelievableFileError("it was changed, or another key or another system wrote it")
    return code_fd


def _mac(key: bytearray, identity: ArtifactIdentity, code_fd: int) -> bytes:
    """Keyed BLAKE3 over the identity and the code in this memfd.

    One thread: BLAKE3's own thread pool would not survive the fork of pool processes.
    """
    context = identity.context()
    mac = blake3(key=bytes(key))
    mac.update(len(context).to_bytes(8, "big"))
    mac.update(context)
    with mmap.mmap(code_fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as code:
        mac.update(code)
    return mac.digest()


def _file_name(identity: ArtifactIdentity, key: bytearray) -> str:
    """Different keys make different names, so that their owners do not overwrite each other's files."""
    owner = blake3(b"penstock: whose file", key=bytes(key)).hexdigest(length=4)
    return f"{identity.name}-{owner}"


def _remove(folder_fd: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder_fd)
