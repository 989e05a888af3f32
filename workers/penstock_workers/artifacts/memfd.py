"""Memory that nobody can change any more: sealed memfds, which can be mapped as code and sent to others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable

#: After these nobody, the maker included, can write, cut or grow the memory, or lift the seals.
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

#: Linux 6.3: the file can never be executed as a program. Mapping it as code stays possible, and hosts with
#: vm.memfd_noexec=2 allow nothing else.
_MFD_NOEXEC_SEAL = 0x0008


def new_memfd(name: str) -> int:
    """An empty memfd that can be sealed."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
    except OSError:  # an older kernel
        return os.memfd_create(name, flags)


def sealed_memfd(name: str, fill: Callable[[int], None]) -> int:
    """A memfd that `fill` wrote, sealed. Closed again when that fails."""
    fd = new_memfd(name)
    try:
        fill(fd)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def sealed_bytes(name: str, content: bytes | memoryview) -> int:
    """A sealed memfd with this content."""

    def fill(fd: int) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]

    return sealed_memfd(name, fill)


def is_sealed(fd: int) -> bool:
    """Whether nobody can change what this descriptor reads. False for anything that is no memfd."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & SEALS == SEALS
    except OSError:
        return False


def copy_file(source: int, target: int, *, offset: int, count: int) -> int:
    """Copy `count` bytes of a file from `offset` on, inside the kernel; returns how many there were."""
    done = 0
    while done < count:
        copied = os.sendfile(target, source, offset + done, count - done)
        if copied == 0:
            break
        done += copied
    return done
