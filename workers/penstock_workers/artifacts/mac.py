"""What proves that native code is ours: keyed BLAKE3 over what it is of and its bytes."""

from __future__ import annotations

import os

from blake3 import blake3

from penstock_workers.artifacts.identity import ArtifactIdentity

MAC_BYTES = 32
#: Read piece by piece, which stay in the CPU's cache: mapping takes a fault for every few pages.
_PIECE_BYTES = 256 * 1024


def code_mac(key: bytearray, identity: ArtifactIdentity, code_fd: int) -> bytes:
    """Over the identity and the code in this memfd.

    One thread: BLAKE3's own thread pool would not survive the fork of pool processes.
    """
    context = identity.context()
    mac = blake3(key=bytes(key))
    mac.update(len(context).to_bytes(8, "big"))
    mac.update(context)
    piece = memoryview(bytearray(_PIECE_BYTES))
    offset = 0
    while count := os.preadv(code_fd, [piece], offset):
        mac.update(piece[:count])
        offset += count
    return mac.digest()


def owned_name(identity: ArtifactIdentity, key: bytearray) -> str:
    """Different keys make different names, so that their owners do not overwrite each other's artifacts."""
    owner = blake3(b"penstock: whose file", key=bytes(key)).hexdigest(length=4)
    return f"{identity.name}-{owner}"
