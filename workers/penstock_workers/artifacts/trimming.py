"""Native code without what only debuggers read: every byte of it is copied and checked at each start.

wasmtime writes an ELF file of sections and reads it section by section: it skips the tables of symbols, and
without an address map its backtraces name functions and no offsets. There is no switch for either.
"""

from __future__ import annotations

import struct

#: Where instructions came from in the WebAssembly, and the names of functions for debuggers.
LEFT_OUT = (".wasmtime.addrmap", ".symtab", ".strtab")

#: Of 64-bit files, least significant byte first.
_BEGINNING = b"\x7fELF\x02\x01\x01"
#: Of the file's header, which says where the sections' headers are, how many, and which of them has names.
_HEADER_BYTES = 64
_OFFSET_OF_SECTIONS = struct.Struct("<Q")
_COUNTS = struct.Struct("<HHHHH")
_SECTIONS_AT, _COUNTS_AT = 40, 54
#: name, type, flags, address, offset, size, link, info, alignment, size of an entry
_SECTION = struct.Struct("<IIQQQQIIQQ")
#: Types of sections: nothing; symbols, which link to their names; no bytes in the file.
_NULL, _SYMBOLS, _NO_BITS = 0, 2, 8


def trimmed(code: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
    """The same native code without `LEFT_OUT`; unchanged when it is no file of the kind that we know."""
    try:
        return _without(memoryview(code), LEFT_OUT)
    except (struct.error, ValueError, IndexError):
        return code


def _without(code: memoryview, names: tuple[str, ...]) -> bytearray:
    kept = [(name, section) for name, section in _sections(code) if name not in names]
    out = bytearray(code[:_HEADER_BYTES])
    headers = bytearray()
    for _, section in kept:
        name, kind, flags, address, offset, size, link, info, alignment, entry = section
        if link or info or address:
            raise ValueError("it refers to other sections, or to its place")
        if kind not in (_NULL, _NO_BITS):
            out += bytes(-len(out) % max(alignment, 1))
            content = code[offset : offset + size]
            if len(content) != size:
                raise ValueError("it is not whole")
            offset = len(out)
            out += content
        headers += _SECTION.pack(name, kind, flags, address, offset, size, link, info, alignment, entry)
    out += bytes(-len(out) % 8)
    _OFFSET_OF_SECTIONS.pack_into(out, _SECTIONS_AT, len(out))
    counts = _COUNTS.unpack_from(out, _COUNTS_AT)
    names_at = [name for name, _ in kept].index(".shstrtab")
    _COUNTS.pack_into(out, _COUNTS_AT, *counts[:3], len(kept), names_at)
    return out + headers


def _sections(code: memoryview) -> list[tuple[str, tuple[int, ...]]]:
    """Name and header of each section."""
    (start,) = _OFFSET_OF_SECTIONS.unpack_from(code, _SECTIONS_AT)
    _, programs, size, count, names_at = _COUNTS.unpack_from(code, _COUNTS_AT)
    if code[: len(_BEGINNING)] != _BEGINNING or programs or size != _SECTION.size:
        raise ValueError("it is no object file of 64 bits")
    found = [_SECTION.unpack_from(code, start + number * size) for number in range(count)]
    offset, length = found[names_at][4:6]
    names = bytes(code[offset : offset + length])
    return [(names[section[0] : names.index(b"\0", section[0])].decode(), section) for section in found]
