"""Artifacts kept compressed: in a folder, `plugin.wasm.xz` stands for a `plugin.wasm` that is not there.

Only the folder is smaller: what travels, and what the digest is of, is the artifact itself.
"""

from __future__ import annotations

import lzma

from penstock_plugins.errors import BundleError
from penstock_plugins.limits import MIB

#: What a compressed artifact's name ends with.
PACKED_SUFFIX = ".xz"
#: Of the decompressor; the strongest preset needs 65 MiB.
_MEMORY_BYTES = 128 * MIB


def pack(content: bytes) -> bytes:
    """The content, as small as xz makes it. Takes seconds for megabytes."""
    return lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)


def unpack(packed: bytes, *, max_bytes: int, path: str) -> bytes:
    """The content that `pack` was given.

    Args:
        packed: one xz stream.
        max_bytes: of the content.
        path: where it came from, for messages.

    Raises:
        BundleError: it is no xz stream, not a whole one, or larger inside.
    """
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_BYTES)
    try:
        content = decompressor.decompress(packed, max_bytes + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise BundleError(f"{path} cannot be unpacked: {error}") from error
    if len(content) > max_bytes:
        raise BundleError(f"{path} has more than {max_bytes} bytes inside")
    if not decompressor.eof or decompressor.unused_data:
        raise BundleError(f"{path} is no whole xz file: build the plugin again")
    return content
