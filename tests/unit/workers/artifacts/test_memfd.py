"""Memory that nobody can change."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from penstock_workers.artifacts.memfd import is_sealed, new_memfd, sealed_bytes, sealed_memfd


def test_sealed_memory_cannot_be_changed_in_any_way() -> None:
    """Not written, not cut, not grown, not mapped for writing, through this descriptor or a new one."""
    fd = sealed_bytes("test", b"native code")
    again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)

    for descriptor in (fd, again):
        for change in (
            lambda d=descriptor: os.pwrite(d, b"X", 0),
            lambda d=descriptor: os.ftruncate(d, 1),
            lambda d=descriptor: os.ftruncate(d, 1000),
            lambda d=descriptor: mmap.mmap(d, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_WRITE),
        ):
            with pytest.raises(OSError, match=os.strerror(errno.EPERM)):
                change()

    assert os.pread(fd, 100, 0) == b"native code"
    os.close(fd)
    os.close(again)


def test_only_sealed_memory_counts_as_sealed(tmp_path: Path) -> None:
    """A fresh memfd, a file and a pipe are not."""
    sealed = sealed_bytes("test", b"code")
    unsealed = new_memfd("test")
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    pipe, pipe_end = os.pipe()

    assert [is_sealed(fd) for fd in (sealed, unsealed, file, pipe)] == [True, False, False, False]
    for fd in (sealed, unsealed, file, pipe, pipe_end):
        os.close(fd)


def test_a_descriptor_does_not_leak_when_filling_fails() -> None:
    """The memory goes with the failure."""
    filled: list[int] = []

    def fill(fd: int) -> None:
        filled.append(fd)
        raise ValueError("disk gone")

    with pytest.raises(ValueError, match="disk gone"):
        sealed_memfd("test", fill)

    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(filled[0])
