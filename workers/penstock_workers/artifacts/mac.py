"""What proves that native code is ours: keyed BLAKE3 over what it is of and its bytes."""

from __future__ import annotations

import mmap

from blake3 import blake3

from penstock_workers.artifacts.identity import ArtifactIdentity

MAC_BYTES = 32


def code_mac(key: bytearray, identity: ArtifactIdentity, code_fd: int) -> bytes:
    """Over the identity and the code in this memfd.

    One thread: BLAKE3's own thread pool would not survive the fork of pool processes.
    """
    context = identity.context()
    mac = blake3(key=bytes(key))
    mac.update(len(context).to_bytes(8, "big"))
    mac.update(context)
    with mmap.mmap(code_fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as code:
        mac.update(code)
    return mac.digest()


def owned_name(identity: ArtifactIdentity, key: bytearray) -> str:
    """Different keys make different names, so that their owners do not overwrite each other's artifacts."""
    owner = blake3(b"penstock: whose file", key=bytes(key)).hexdigest(length=4)
    return f"{identity.name}-{owner}"
