"""Engines: what they are called, and what they refuse to compile."""

from __future__ import annotations

from importlib.metadata import version

import pytest
import wasmtime
from wasmtime.component import Component

from penstock_workers.engine import (
    METERED,
    PLAIN,
    WASMTIME_VERSION,
    Engines,
    EngineSettings,
    engines_made,
    new_engine,
)
from penstock_workers.pool import Pool


def test_settings_are_told_apart_by_their_fingerprint() -> None:
    """Native code for one kind of engine is never taken for the other's."""
    assert PLAIN.fingerprint == EngineSettings().fingerprint
    assert PLAIN.fingerprint != METERED.fingerprint


@pytest.mark.parametrize(
    "changed", ["_C_SWITCHES", "_EPOCH_INTERRUPTION", "_FEATURES", "_MAX_WASM_STACK_BYTES"]
)
def test_fingerprint_counts_everything_that_an_engine_is_made_of(
    changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of this module takes none of its artifacts when it sets anything else."""
    before = EngineSettings().fingerprint
    monkeypatch.setattr(f"penstock_workers.engine.{changed}", "other")

    assert EngineSettings().fingerprint != before


def test_native_code_is_the_same_with_a_pool() -> None:
    """So the pool is no part of the fingerprint, and one artifact serves both kinds of engine."""
    codes = [
        bytes(Component(new_engine(pool=pool), "(component (core module (memory 1)))").serialize())
        for pool in (None, Pool())
    ]

    assert codes[0] == codes[1]


def test_wasmtime_is_the_version_that_this_was_written_for() -> None:
    """The words of its errors are matched, and its C values are read."""
    assert version("wasmtime") == WASMTIME_VERSION


def test_engines_are_made_once_for_each_settings_and_counted() -> None:
    """A worker that has made one does not fork any more."""
    engines = Engines()
    before = engines_made()

    plain, metered = engines.get(PLAIN), engines.get(METERED)

    assert engines.get(PLAIN) is plain
    assert metered is not plain
    assert engines_made() == before + 2


#: Parts of WebAssembly that are off.
OFF = {
    "threads": "(core module (memory 1 1 shared))",
    "atomic wait": "(core module (memory 1) (func (drop (memory.atomic.wait32"
    " (i32.const 0) (i32.const 0) (i64.const -1)))))",
    "memory64": "(core module (memory i64 1))",
    "exceptions": "(core module (tag))",
    "gc": "(core module (type (struct (field i32))))",
    "relaxed simd": "(core module (func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0)))))",
    "asynchronous lifting": '(core module $m (func (export "f") (result i32) unreachable)'
    ' (func (export "c") (param i32 i32 i32) (result i32) unreachable)) (core instance $i (instantiate $m))'
    ' (func (canon lift (core func $i "f") async (callback (core func $i "c"))))',
}

#: Parts that toolchains emit.
ON = {
    "simd": "(core module (func (param v128) (drop (i32x4.add (local.get 0) (local.get 0)))))",
    "bulk memory": "(core module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 9))))",
    "several results": "(core module (func (result i32 i32) (i32.const 1) (i32.const 2)))",
    "reference types": "(core module (table 1 funcref) (func (result funcref) (table.get (i32.const 0))))",
    "sign extension": "(core module (func (param i32) (drop (i32.extend8_s (local.get 0)))))",
    "several memories": "(core module (memory 1) (memory 1))",
    "tail calls": "(core module (func $f (return_call $f)))",
    "saturating conversion": "(core module (func (param f32) (drop (i32.trunc_sat_f32_s (local.get 0)))))",
}


@pytest.mark.parametrize("feature", OFF)
def test_features_that_are_not_needed_are_off(feature: str) -> None:
    """They are attack surface, and some of them wait where no epoch reaches."""
    wasm = wasmtime.wat2wasm(f"(component {OFF[feature]})")

    with pytest.raises(wasmtime.WasmtimeError):
        Component(new_engine(PLAIN), wasm)


@pytest.mark.parametrize("feature", ON)
def test_features_that_toolchains_emit_are_on(feature: str) -> None:
    """Compilers to WebAssembly take these for granted."""
    Component(new_engine(PLAIN), f"(component {ON[feature]})").close()


def test_tail_calls_without_end_are_stopped_by_the_epoch() -> None:
    """They are no loop and never return: the epoch is looked at on each entry."""
    engine = new_engine(PLAIN)
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(1)
    tick = wasmtime.Func(store, wasmtime.FuncType([], []), engine.increment_epoch)
    text = """(module (import "" "tick" (func $tick)) (func $again (return_call $again))
        (func (export "run") (call $tick) (call $again)))"""
    run = wasmtime.Instance(store, wasmtime.Module(engine, text), [tick]).exports(store)["run"]

    assert isinstance(run, wasmtime.Func)
    with pytest.raises(wasmtime.Trap, match="interrupt"):
        run(store)
