"""The sections that a WebAssembly binary is made of, core module or component: read, and written back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

#: Magic number and version, in front of the first section.
HEADER_BYTES = 8

#: Of both kinds of binary.
CUSTOM = 0
#: Of a component.
CORE_MODULE = 1


class Section(NamedTuple):
    """One section of a binary."""

    kind: int
    content: bytes

    @property
    def custom_name(self) -> str:
        """The name that a custom section begins with."""
        size, start = _read_leb128(self.content, 0)
        return self.content[start : start + size].decode()


def read_sections(binary: bytes) -> Iterator[Section]:
    """The sections of a valid binary, in order."""
    position = HEADER_BYTES
    while position < len(binary):
        size, start = _read_leb128(binary, position + 1)
        yield Section(binary[position], binary[start : start + size])
        position = start + size


def write_sections(header: bytes, sections: Iterable[Section]) -> bytes:
    """The binary with these sections."""
    parts = [header]
    for kind, content in sections:
        parts += (bytes([kind]), _leb128(len(content)), content)
    return b"".join(parts)


def _leb128(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _read_leb128(raw: bytes, position: int) -> tuple[int, int]:
    """The number at `position`, and the position behind it."""
    number = shift = 0
    while True:
        byte = raw[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position
