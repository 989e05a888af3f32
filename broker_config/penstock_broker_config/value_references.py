"""References to large values: `@sha256:DIGEST:BYTES`, which stands where no JSON text can begin. Pure."""

from __future__ import annotations

import hashlib
import re

from penstock_plugins.errors import ValueLostError

#: Larger texts travel by digest.
INLINE_BYTES = 256 * 1024
#: What one value may have at most, whatever a plugin's limits say.
MAX_VALUE_BYTES = 256 * 1024 * 1024

_REFERENCE = re.compile(rb"@sha256:([0-9a-f]{64}):([0-9]{1,12})")


def refer(value: bytes) -> bytes:
    """The reference that stands for a value."""
    return b"@sha256:%b:%d" % (hashlib.sha256(value).hexdigest().encode(), len(value))


def is_reference(text: bytes) -> bool:
    """Whether a text stands for a large value."""
    return text.startswith(b"@")


def digest_and_size(reference: bytes) -> tuple[str, int]:
    """What a reference says.

    Raises:
        ValueLostError: it is none.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None or int(match[2]) > MAX_VALUE_BYTES:
        raise ValueLostError("A reference to a large value cannot be read")
    return match[1].decode(), int(match[2])


def size_of(text: str) -> int:
    """About as many bytes as a text has, or the value that it stands for."""
    return digest_and_size(text.encode())[1] if text.startswith("@") else len(text)


def checked(value: bytes | None, reference: bytes) -> bytes:
    """A value that was read, if it is the one that was referred to.

    Raises:
        ValueLostError: it is gone, or was changed.
    """
    if value is None:
        raise ValueLostError(f"A large value is gone: {reference.decode()}")
    if refer(value) != reference:
        raise ValueLostError(f"A large value was changed: {reference.decode()}")
    return value
