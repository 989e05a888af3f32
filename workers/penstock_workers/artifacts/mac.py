"""What proves that native code is ours: keyed BLAKE3 over what it is of and the digests of its pieces."""

from __future__ import annotations

import os
from itertools import count
from threading import Thread

from blake3 import blake3

from penstock_workers.artifacts.identity import ArtifactIdentity

MAC_BYTES = 32
#: Read piece by piece, which stay in the CPU's cache: mapping takes a fault for every few pages.
_PIECE_BYTES = 256 * 1024
#: Pieces for which it pays to start a thread.
_PIECES_PER_THREAD = 6


def code_mac(key: bytearray, identity: ArtifactIdentity, code_fd: int, *, max_threads: int = 4) -> bytes:
    """Over the identity and the code in this memfd.

    Args:
        key: of the host or of the fleet.
        identity: what the code is of.
        code_fd: the code.
        max_threads: that hash it, the caller's included.

    Raises:
        OSError: it cannot be read, or becomes shorter meanwhile.
    """
    context = identity.context()
    size = os.fstat(code_fd).st_size
    mac = blake3(key=bytes(key))
    mac.update(len(context).to_bytes(8, "big"))
    mac.update(context)
    mac.update(size.to_bytes(8, "big"))
    mac.update(b"".join(_digests(code_fd, size, max_threads)))
    return mac.digest()


def owned_name(identity: ArtifactIdentity, key: bytearray) -> str:
    """Different keys make different names, so that their owners do not overwrite each other's artifacts."""
    owner = blake3(b"penstock: whose file", key=bytes(key)).hexdigest(length=4)
    return f"{identity.name}-{owner}"


def _digests(code_fd: int, size: int, max_threads: int) -> list[bytes]:
    """Of all pieces, in order, made by a few threads that end here.

    Our own: BLAKE3's thread pool would stay, and not survive the fork of pool processes.
    """
    pieces = -(-size // _PIECE_BYTES)
    found = [b""] * pieces
    numbers = count()

    def work() -> None:
        buffer = memoryview(bytearray(min(size, _PIECE_BYTES)))
        while (number := next(numbers)) < pieces:
            start = number * _PIECE_BYTES
            piece = buffer[: min(_PIECE_BYTES, size - start)]
            if os.preadv(code_fd, [piece], start) == len(piece):
                found[number] = blake3(piece).digest()

    threads = min(pieces // _PIECES_PER_THREAD, len(os.sched_getaffinity(0)), max_threads)
    others = [Thread(target=work, name="penstock-mac") for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if not all(found):
        raise OSError("the native code cannot be read whole")
    return found
