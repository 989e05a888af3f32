"""Native code without what only debuggers read."""

from __future__ import annotations

from pathlib import Path

import pytest
from wasmtime import Module, Store, WasmtimeError
from wasmtime.component import Component, Linker

from penstock_workers.artifacts.trimming import LEFT_OUT, _sections, trimmed
from penstock_workers.engine import METERED, PLAIN, EngineSettings, new_engine

#: Answers 7 from its data, or traps in a function that has a name.
GUEST = r"""
(component
  (core module $m
    (memory 1) (data (i32.const 4096) "\07")
    (func (export "seven") (result i32) (i32.load8_u (i32.const 4096)))
    (func $out_of_luck (export "trap") (result i32) unreachable))
  (core instance $i (instantiate $m))
  (func (export "seven") (result u32) (canon lift (core func $i "seven")))
  (func (export "trap") (result u32) (canon lift (core func $i "trap"))))
"""


@pytest.fixture(scope="module")
def code() -> bytes:
    """Native code as wasmtime makes it."""
    return bytes(Component(new_engine(), GUEST).serialize())


def call(path: Path, name: str, settings: EngineSettings = PLAIN) -> object:
    """Call a function of the native code in a file."""
    engine = new_engine(settings)
    store = Store(engine)
    store.set_epoch_deadline(1)
    if settings.fuel:
        store.set_fuel(10_000)
    instance = Linker(engine).instantiate(store, Component.deserialize_file(engine, str(path)))
    function = instance.get_func(store, name)
    assert function is not None
    return function(store)


@pytest.mark.parametrize("settings", [PLAIN, METERED])
def test_trimmed_native_code_runs(settings: EngineSettings, tmp_path: Path) -> None:
    """With its data, and smaller than it was."""
    code = bytes(Component(new_engine(settings), GUEST).serialize())
    path = tmp_path / "code"

    path.write_bytes(trimmed(code))

    assert call(path, "seven", settings) == 7
    assert path.stat().st_size < len(code)


def test_a_trap_in_trimmed_native_code_names_its_function(code: bytes, tmp_path: Path) -> None:
    """Which functions a backtrace names decides whether a guest ran out of memory."""
    path = tmp_path / "code"
    path.write_bytes(trimmed(code))

    with pytest.raises(WasmtimeError) as caught:
        call(path, "trap")

    assert "out_of_luck" in str(caught.value)
    assert str(caught.value).rstrip().endswith("wasm trap: wasm `unreachable` instruction executed")


def section_names(code: bytes | bytearray | memoryview) -> list[str]:
    """The sections of native code, in its order."""
    return [name for name, _ in _sections(memoryview(code))]


def test_exactly_the_sections_that_nothing_needs_are_left_out(code: bytes) -> None:
    """The others keep their order; doing it again changes nothing."""
    names = section_names(code)
    assert set(LEFT_OUT) <= set(names)

    short = trimmed(code)

    assert section_names(short) == [name for name in names if name not in LEFT_OUT]
    assert bytes(trimmed(short)) == bytes(short)


def test_core_modules_are_trimmed_as_well(tmp_path: Path) -> None:
    """They are files of the same kind."""
    engine = new_engine()
    module = Module(engine, '(module (func (export "seven") (result i32) (i32.const 7)))')
    code = bytes(module.serialize())
    path = tmp_path / "code"

    path.write_bytes(trimmed(code))

    assert path.stat().st_size < len(code)
    assert [export.name for export in Module.deserialize_file(engine, str(path)).exports] == ["seven"]


def test_what_is_no_such_file_stays_as_it_is(code: bytes) -> None:
    """Cut off, of another width, with references between sections: wasmtime may know what to do with it."""
    start = int.from_bytes(code[40:48], "little")
    linked = bytearray(code)
    linked[start + 2 * 64 + 40] = 1  # the second section's link
    outside = bytearray(code)
    outside[start + 2 * 64 + 24 : start + 2 * 64 + 32] = (1 << 40).to_bytes(8, "little")
    others = [b"", b"\x7fELF", code[:64], code[:-1], b"\x7fELF\x01" + code[5:], bytes(linked), bytes(outside)]

    assert [trimmed(other) for other in others] == others
