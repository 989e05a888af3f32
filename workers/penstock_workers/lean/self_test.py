"""Compares the lean path with wasmtime's Python API, once in a process, before a plugin is called by it.

Layouts that agree are not proof enough of a path that reads memory by number. Two tiny guests answer, fail
and trap on both paths; what comes back, errors to the letter, must be the same.
"""

from __future__ import annotations

from collections.abc import Callable

from wasmtime import WasmtimeError
from wasmtime.component import Component, Linker

from penstock_workers.engine import METERED, new_engine
from penstock_workers.guest import Exports, Guest, GuestPath, StoreLimits
from penstock_workers.lean.guest import LeanPath
from penstock_workers.public_path import PublicPath

_ROOMY = StoreLimits(memory_bytes=1 << 20, table_elements=10, instances=8, tables=2, memories=2)
_NARROW = _ROOMY._replace(memory_bytes=2 * 65536)
_FUEL = 10_000

#: Texts that go through `call-tool` both ways: nothing, more than one byte each, a zero, a few pages.
_TEXTS = ("", "{}", '{"ä":"日本 🙂\0"}', "x" * 5_000)

#: A guest of the world, as small as it can be. `init` fails when memory cannot grow. `call-tool` looks at how
#: long its tool's name is: 0 goes round for ever, 1 traps, 2 returns the params as an error, 3 as content.
_WAT = """
(component
  (core module $M
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 4096))
    (data (i32.const 512) "self-test1.2.3n\\c3\\b6")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 3))))
    (func $text (param $field i32) (param $at i32) (param $size i32)
      (i32.store (local.get $field) (local.get $at))
      (i32.store (i32.add (local.get $field) (i32.const 4)) (local.get $size)))
    (func (export "init") (result i32)
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then
        (i32.store (i32.const 16) (i32.const 1))
        (call $text (i32.const 20) (i32.const 526) (i32.const 3)) (return (i32.const 16))))
      (i32.store (i32.const 16) (i32.const 0))
      (call $text (i32.const 20) (i32.const 512) (i32.const 9))
      (call $text (i32.const 28) (i32.const 521) (i32.const 5)) (i32.const 16))
    (func (export "list-tools") (result i32)
      (i32.store (i32.const 16) (i32.const 32)) (i32.store (i32.const 20) (i32.const 1))
      (call $text (i32.const 32) (i32.const 512) (i32.const 9))
      (call $text (i32.const 48) (i32.const 526) (i32.const 3)) (i32.const 16))
    (func (export "call-tool") (param i32 i32 i32 i32) (result i32)
      (if (i32.eqz (local.get 1)) (then (loop $l (br $l))))
      (if (i32.eq (local.get 1) (i32.const 1)) (then unreachable))
      (call $text (i32.const 16) (local.get 2) (local.get 3))
      (i32.store (i32.const 24) (i32.eq (local.get 1) (i32.const 2))) (i32.const 16))
    (func (export "batch") (param $name i32) (param $n i32) (param $list i32) (param $left i32) (result i32)
        (local $out i32)
      (if (i32.eq (local.get $n) (i32.const 1)) (then unreachable))
      (local.set $out (i32.const 1024))
      (call $text (i32.const 16) (local.get $out) (local.get $left))
      (block $done (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (call $text (local.get $out) (i32.load (local.get $list)) (i32.load offset=4 (local.get $list)))
        (i32.store offset=8 (local.get $out) (i32.eq (local.get $n) (i32.const 2)))
        (local.set $out (i32.add (local.get $out) (i32.const 12)))
        (local.set $list (i32.add (local.get $list) (i32.const 8)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))
      (i32.const 16)))
  (core instance $m (instantiate $M))
  (alias core export $m "memory" (core memory $memory))
  (alias core export $m "realloc" (core func $realloc))
  (type $info' (record (field "name" string) (field "version" string)))
  (type $def' (record (field "name" string) (field "label" string) (field "description" string)
                      (field "parameters-json" string)))
  (type $result' (record (field "content-json" string) (field "is-error" bool)))
  (func $init' (result (result $info' (error string)))
    (canon lift (core func $m "init") (memory $memory) (realloc $realloc)))
  (func $list' (result (list $def'))
    (canon lift (core func $m "list-tools") (memory $memory) (realloc $realloc)))
  (func $call' (param "name" string) (param "args-json" string) (result $result')
    (canon lift (core func $m "call-tool") (memory $memory) (realloc $realloc)))
  (instance $out (export "info" (type $info')) (export "def" (type $def')) (export "result" (type $result'))
    (export "init" (func $init')) (export "list-tools" (func $list')) (export "call-tool" (func $call')))
  (export "grain:plugin/plugin" (instance $out))
  (func $batch' (param "name" string) (param "args-json" (list string)) (result (list $result'))
    (canon lift (core func $m "batch") (memory $memory) (realloc $realloc)))
  (instance $together (export "result" (type $result')) (export "call-tool-batch" (func $batch')))
  (export "penstock:batch/batch" (instance $together)))"""


def differences() -> list[str]:
    """How the lean path differs from wasmtime's Python API; empty when it does not."""
    engine = new_engine(METERED, parallel=False)
    found = []
    with Component(engine, _WAT) as component, Linker(engine) as linker:
        parts = (engine, linker, component, Exports(component))
        lean, public = LeanPath(*parts), PublicPath(*parts)
        for limits in (_ROOMY, _NARROW):
            for what, ask in _questions().items():
                ours, theirs = _told(lean, limits, ask), _told(public, limits, ask)
                if ours != theirs:
                    found.append(f"{what}: {ours!r:.200} instead of {theirs!r:.200}")
    return found


def _questions() -> dict[str, Callable[[Guest], object]]:
    asked: dict[str, Callable[[Guest], object]] = {
        "init": lambda guest: guest.init(),
        "info": lambda guest: guest.info(),
        "list-tools": lambda guest: guest.list_tools(1, 100),
        "a long answer": lambda guest: guest.call_tool(b"run", b"12345", 4),
    }
    raws = [text.encode() for text in _TEXTS]
    for tool in (b"1", b"12", b"123"):
        asked[f"call-tool-batch {tool!r}"] = lambda guest, tool=tool: (  # type: ignore[misc]
            guest.init(),
            guest.call_batch(tool, raws, 1000),
            guest.call_batch(tool, [], 1000),
        )
    for tool in (b"", b"1", b"12", b"123"):
        for text in _TEXTS:
            raw = text.encode()
            asked[f"call-tool {tool!r} with {len(raw)} bytes"] = lambda guest, tool=tool, raw=raw: (  # type: ignore[misc]
                guest.init(),
                guest.call_tool(tool, raw, 1 << 20),
            )
    return asked


def _told(path: GuestPath, limits: StoreLimits, ask: Callable[[Guest], object]) -> tuple[object, int]:
    """What a fresh guest answers, or the error, and the fuel that is left."""
    guest = path.enter(limits, _FUEL)
    try:
        guest.start()
        told = ask(guest)
    except WasmtimeError as error:
        told = str(error)
    finally:
        left = guest.fuel_left()
        guest.close()
    return told, left
