"""The sections of a binary."""

import pytest
import wasmtime

from penstock_workers.toolchain.sections import CUSTOM, HEADER_BYTES, Section, read_sections, write_sections


def test_what_is_read_is_written_back_byte_for_byte() -> None:
    """Sections of every size keep their bytes."""
    data = "x" * 70_000
    binary = bytes(
        wasmtime.wat2wasm(f'(module (memory 2) (data (i32.const 0) "{data}") (func (export "f")))')
    )

    sections = list(read_sections(binary))

    assert len(sections) > 3
    assert write_sections(binary[:HEADER_BYTES], sections) == binary


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 2_097_152])
def test_a_size_takes_as_many_bytes_as_it_needs(size: int) -> None:
    """The borders of the variable-length numbers are read as they were written."""
    section = Section(CUSTOM, bytes(size))

    binary = write_sections(b"\0asm\x01\0\0\0", [section, section])

    assert list(read_sections(binary)) == [section, section]


def test_a_custom_section_says_its_name() -> None:
    """The name comes first in its content."""
    section = Section(CUSTOM, b"\x04namewhatever")

    assert section.custom_name == "name"
