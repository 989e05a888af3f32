"""What proves that native code is ours covers every byte of it, and what it is of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

from penstock_workers.artifacts.identity import ArtifactIdentity
from penstock_workers.artifacts.mac import code_mac
from penstock_workers.artifacts.memfd import new_memfd

KEY = bytearray(range(32))
IDENTITY = ArtifactIdentity(
    digest="d" * 64, module_sha256="a" * 64, kind="component", engine="plain", wasmtime="1", cpu="x"
)
#: A piece, as the code is read.
PIECE = 256 * 1024
#: Many pieces, so that several threads have some; the last is not whole.
CODE = os.urandom(29 * PIECE + 1000)


@pytest.fixture
def code_fd() -> Iterator[int]:
    """The code, in memory that the test changes."""
    fd = new_memfd("test")
    os.pwrite(fd, CODE, 0)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("place", [0, PIECE - 1, PIECE, 17 * PIECE + 5, len(CODE) - 1])
def test_one_flipped_bit_anywhere_is_noticed(code_fd: int, place: int) -> None:
    """In the first piece, in the last, and at the edges of those between."""
    before = code_mac(KEY, IDENTITY, code_fd)

    os.pwrite(code_fd, bytes([CODE[place] ^ 1]), place)

    assert code_mac(KEY, IDENTITY, code_fd) != before
    os.pwrite(code_fd, CODE[place : place + 1], place)
    assert code_mac(KEY, IDENTITY, code_fd) == before


def test_pieces_in_another_order_are_noticed(code_fd: int) -> None:
    """Though each of them is whole."""
    before = code_mac(KEY, IDENTITY, code_fd)

    os.pwrite(code_fd, CODE[PIECE : 2 * PIECE] + CODE[:PIECE], 0)

    assert code_mac(KEY, IDENTITY, code_fd) != before


@pytest.mark.parametrize("size", [len(CODE) - 1, len(CODE) + 1, 29 * PIECE, 28 * PIECE, 30 * PIECE])
def test_code_that_is_shorter_or_longer_is_noticed(code_fd: int, size: int) -> None:
    """By zeros, or by whole pieces."""
    before = code_mac(KEY, IDENTITY, code_fd)

    os.ftruncate(code_fd, size)

    assert code_mac(KEY, IDENTITY, code_fd) != before


def test_another_key_and_another_identity_make_another_mac(code_fd: int) -> None:
    """So that no artifact passes for another's."""
    macs = {
        code_mac(KEY, IDENTITY, code_fd),
        code_mac(bytearray(32), IDENTITY, code_fd),
        code_mac(KEY, replace(IDENTITY, kind="core"), code_fd),
        code_mac(KEY, replace(IDENTITY, engine="metered"), code_fd),
    }

    assert len(macs) == 4


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_threads_makes_the_same_mac(
    code_fd: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a host with many CPUs wrote, one with a single CPU reads."""
    before = code_mac(KEY, IDENTITY, code_fd)
    monkeypatch.setattr("penstock_workers.artifacts.mac._PIECES_PER_THREAD", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))

    assert code_mac(KEY, IDENTITY, code_fd, max_threads=threads) == before


def test_a_mac_of_nothing_can_be_made_too() -> None:
    """It is that of its identity."""
    fd = new_memfd("test")

    assert code_mac(KEY, IDENTITY, fd) != code_mac(KEY, replace(IDENTITY, kind="core"), fd)
    os.close(fd)
