"""What a pool process and its worker's parent say to each other: a length, JSON, and perhaps a descriptor.

Both are the same user on the same host, and neither believes the other's lengths or waits for ever.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import time
from typing import Any

import orjson

from penstock_plugins.errors import (
    ArtifactError,
    BundleError,
    CatalogError,
    CompileError,
    ConfigurationError,
    PenstockError,
    UnreachableError,
)
from penstock_workers.engine import METERED, PLAIN, EngineSettings

_LENGTH = struct.Struct(">I")
#: Room for one descriptor, and for one too many, which is refused.
_RIGHTS_SPACE = socket.CMSG_SPACE(2 * array.array("i").itemsize)

#: Errors that arrive as what they were; any other arrives as an `ArtifactError` with its message.
_ERRORS: dict[str, type[PenstockError]] = {
    cls.__name__: cls
    for cls in (ArtifactError, BundleError, CatalogError, CompileError, ConfigurationError, UnreachableError)
}


class WireError(ArtifactError):
    """The other side said something that is not in the protocol, or nothing at all."""


def failure(error: Exception) -> dict[str, Any]:
    """An answer that says what went wrong."""
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS), "ArtifactError")
    return {"error": kind, "message": str(error) or type(error).__name__}


def raise_failure(answer: dict[str, Any]) -> None:
    """Raise what `failure` wrote, if that is what this answer is."""
    if "error" in answer:
        raise _ERRORS.get(answer["error"], ArtifactError)(str(answer.get("message", "")))


def settings_named(fingerprint: object) -> EngineSettings:
    """The engine settings that both sides know by this fingerprint.

    Raises:
        WireError: this side has no such settings.
    """
    for settings in (PLAIN, METERED):
        if settings.fingerprint == fingerprint:
            return settings
    raise WireError("The pool process and its worker's parent are of different versions: restart the worker.")


def send(peer: socket.socket, message: dict[str, Any], *, fd: int | None = None) -> None:
    """Send one message; the descriptor travels with its first bytes. The peer's own timeout applies."""
    text = orjson.dumps(message)
    packet = _LENGTH.pack(len(text)) + text
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
    sent = peer.sendmsg([packet], rights)
    if sent < len(packet):  # sending nothing fails when the peer has read it all and is gone
        peer.sendall(packet[sent:])


def receive(peer: socket.socket, *, max_bytes: int, timeout_s: float) -> tuple[dict[str, Any], int | None]:
    """One message, and the descriptor that came with it, which the caller closes.

    Raises:
        WireError: it is too long, no JSON object, has several descriptors, or did not come in time.
    """
    until = time.monotonic() + timeout_s
    fds: list[int] = []
    try:
        head = _receive_exactly(peer, _LENGTH.size, until, fds)
        message = _parse(_receive_exactly(peer, _length(head, max_bytes), until, fds))
        fd = _only(fds)
    except BaseException:
        for came in fds:
            os.close(came)
        raise
    return message, fd


def _length(head: bytes, max_bytes: int) -> int:
    (length,) = _LENGTH.unpack(head)
    if length > max_bytes:
        raise WireError(f"A message of {length} bytes is refused; at most {max_bytes} are read.")
    return int(length)


def _only(fds: list[int]) -> int | None:
    if len(fds) > 1:
        raise WireError("More than one descriptor came.")
    return fds[0] if fds else None


def _parse(text: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise WireError("The message is no JSON.") from error
    if not isinstance(message, dict):
        raise WireError("The message is no JSON object.")
    return message


def _receive_exactly(peer: socket.socket, count: int, until: float, fds: list[int]) -> bytes:
    """Read `count` bytes; what descriptors come with them is added to `fds`."""
    got = bytearray()
    while len(got) < count:
        rest_s = until - time.monotonic()
        if rest_s <= 0:
            raise WireError("The other side was silent for too long.")
        peer.settimeout(rest_s)
        try:
            # Not `socket.recv_fds`: it drops its flags, so that every process we start would inherit these.
            part, ancillary, flags, _ = peer.recvmsg(count - len(got), _RIGHTS_SPACE, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError as error:
            raise WireError("The other side was silent for too long.") from error
        except OSError as error:
            raise WireError(f"The other side is gone ({error.strerror}).") from error
        for level, kind, raw in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                came = array.array("i")
                came.frombytes(raw[: len(raw) - len(raw) % came.itemsize])
                fds.extend(came)
        if flags & socket.MSG_CTRUNC:
            raise WireError("Too many descriptors came, or this process has none left.")
        if not part:
            raise WireError("The other side hung up.")
        got += part
    return bytes(got)
