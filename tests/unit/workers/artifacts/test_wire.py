"""The messages between a pool process and its worker's parent, over a pair of sockets."""

from __future__ import annotations

import array
import gc
import os
import socket
from collections.abc import Iterator

import pytest

from penstock_plugins.errors import (
    ArtifactError,
    CatalogError,
    CompileError,
    ManifestError,
    PenstockError,
    UnreachableError,
)
from penstock_workers.artifacts.memfd import sealed_bytes
from penstock_workers.artifacts.wire import (
    WireError,
    failure,
    raise_failure,
    receive,
    send,
    settings_named,
)
from penstock_workers.engine import METERED, PLAIN

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of one connection."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with left, right:
        yield left, right


def open_descriptors() -> set[str]:
    gc.collect()  # what other tests have left behind closes now, and not later
    return {name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}


def test_a_message_arrives_with_its_descriptor(pair: Pair) -> None:
    """The descriptor is a new one for the same memory, and no program that is started inherits it."""
    sent = sealed_bytes("test", b"native code")

    send(pair[0], {"size_bytes": 11}, fd=sent)
    message, fd = receive(pair[1], max_bytes=1000, timeout_s=10)

    assert message == {"size_bytes": 11}
    assert fd is not None
    assert fd != sent
    assert os.pread(fd, 100, 0) == b"native code"
    assert not os.get_inheritable(fd)
    os.close(fd)
    os.close(sent)


def test_a_message_may_come_without_a_descriptor(pair: Pair) -> None:
    """Requests and refusals have none."""
    send(pair[0], {"digest": "ab"})

    assert receive(pair[1], max_bytes=1000, timeout_s=10) == ({"digest": "ab"}, None)


def test_a_large_message_arrives_in_one_piece(pair: Pair) -> None:
    """Longer than what the socket holds at once: both sides go on until it is through."""
    import threading

    record = "schema " * 200_000
    sender = threading.Thread(target=send, args=(pair[0], {"record": record}))
    sender.start()

    message, _ = receive(pair[1], max_bytes=2_000_000, timeout_s=30)

    sender.join()
    assert message == {"record": record}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xff\xff\xff\xff", "4294967295 bytes is refused"),
        (b"\x00\x00\x03\xe9" + bytes(1001), "1001 bytes is refused"),
        (b"\x00\x00\x00\x04nope", "no JSON"),
        (b"\x00\x00\x00\x02[]", "no JSON object"),
        (b"\x00\x00", "hung up"),
        (b"\x00\x00\x00\x09{", "hung up"),
        (b"", "hung up"),
    ],
)
def test_what_is_no_message_is_refused(pair: Pair, raw: bytes, words: str) -> None:
    """A length is believed up to a cap, a text only when it is an object, an end when it is one."""
    pair[0].sendall(raw)
    pair[0].shutdown(socket.SHUT_WR)

    with pytest.raises(WireError, match=words):
        receive(pair[1], max_bytes=1000, timeout_s=10)


def test_a_silent_peer_is_not_waited_for(pair: Pair) -> None:
    """Neither before the first byte, nor in the middle."""
    with pytest.raises(WireError, match="silent"):
        receive(pair[1], max_bytes=1000, timeout_s=0.01)

    pair[0].sendall(b"\x00\x00\x00\x09{")
    with pytest.raises(WireError, match="silent"):
        receive(pair[1], max_bytes=1000, timeout_s=0.01)


@pytest.mark.parametrize("count", [2, 20])
def test_descriptors_that_nobody_asked_for_are_closed(pair: Pair, count: int) -> None:
    """More than one is refused, and none of them stays open here."""
    sent = [sealed_bytes("test", b"code") for _ in range(count)]
    before = open_descriptors()

    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", sent))]
    pair[0].sendmsg([b"\x00\x00\x00\x02{}"], rights)
    with pytest.raises(WireError, match="descriptor"):
        receive(pair[1], max_bytes=1000, timeout_s=10)

    assert open_descriptors() == before
    for fd in sent:
        os.close(fd)


@pytest.mark.parametrize("kind", [ArtifactError, CatalogError, CompileError, UnreachableError])
def test_our_errors_arrive_as_what_they_were(kind: type[PenstockError]) -> None:
    """With their class and their words."""
    with pytest.raises(kind, match="the reason") as caught:
        raise_failure(failure(kind("the reason")))

    assert type(caught.value) is kind


@pytest.mark.parametrize("error", [ManifestError("bad name", "plugin.toml"), RuntimeError("bad name")])
def test_other_errors_arrive_as_artifact_errors(error: Exception) -> None:
    """With their words; nothing that came over a socket chooses a class."""
    with pytest.raises(ArtifactError, match="bad name"):
        raise_failure(failure(error))


def test_a_name_that_is_no_error_of_ours_makes_no_class() -> None:
    """A forged answer is still an artifact error."""
    with pytest.raises(ArtifactError, match="x"):
        raise_failure({"error": "SystemExit", "message": "x"})


def test_an_answer_without_error_raises_nothing() -> None:
    """It is an artifact's header."""
    raise_failure({"size_bytes": 3})


def test_both_sides_know_engines_by_their_fingerprints() -> None:
    """A fingerprint that this side cannot make is another version's."""
    assert settings_named(PLAIN.fingerprint) == PLAIN
    assert settings_named(METERED.fingerprint) == METERED
    with pytest.raises(WireError, match="restart the worker"):
        settings_named("plain-of-last-year")
