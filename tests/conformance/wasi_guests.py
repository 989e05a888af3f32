"""Guests that were built for WASI, and use a good deal of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock_plugins.error_codes import ErrorCode
from tests.conformance.guest import Guest, guest
from tests.conformance.wat import Data, content

_IMPORTS = """
  (import "wasi:io/error@0.2.3" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error))
  (import "wasi:io/poll@0.2.3" (instance $poll (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "output-stream" (type $out (sub resource)))
    (export "input-stream" (type $in (sub resource)))
    (alias outer 1 $error (type $error')) (export "error" (type $error (eq $error')))
    (alias outer 1 $pollable (type $pollable')) (export "pollable" (type $pollable (eq $pollable')))
    (type $broken' (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $broken (eq $broken')))
    (export "[method]output-stream.check-write"
      (func (param "self" (borrow $out)) (result (result u64 (error $broken)))))
    (export "[method]output-stream.subscribe" (func (param "self" (borrow $out)) (result (own $pollable))))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $broken)))))
    (export "[method]input-stream.read"
      (func (param "self" (borrow $in)) (param "len" u64) (result (result (list u8) (error $broken)))))))
  (alias export $streams "output-stream" (type $out))
  (alias export $streams "input-stream" (type $in))
  (import "wasi:cli/stdout@0.2.3" (instance $stdout
    (alias outer 1 $out (type $out')) (export "output-stream" (type $out (eq $out')))
    (export "get-stdout" (func (result (own $out))))))
  (import "wasi:cli/stdin@0.2.3" (instance $stdin
    (alias outer 1 $in (type $in')) (export "input-stream" (type $in (eq $in')))
    (export "get-stdin" (func (result (own $in))))))
  (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit" (func (param "status" (result))))))
  (import "wasi:cli/environment@0.2.3" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  (import "wasi:filesystem/types@0.2.3" (instance $files (export "descriptor" (type (sub resource)))))
  (alias export $files "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.3" (instance $preopens
    (alias outer 1 $descriptor (type $descriptor')) (export "descriptor" (type $d (eq $descriptor')))
    (export "get-directories" (func (result (list (tuple (own $d) string)))))))
  (import "wasi:random/random@0.2.3" (instance $random
    (export "get-random-u64" (func (result u64)))
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (import "wasi:clocks/wall-clock@0.2.3" (instance $wall
    (type $datetime' (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $datetime')))
    (export "now" (func (result $datetime)))))"""

#: Name in the guest, core type, where it comes from, and what lowering it takes.
_FUNCTIONS = (
    ("stdout", "(result i32)", '$stdout "get-stdout"', ""),
    ("stdin", "(result i32)", '$stdin "get-stdin"', ""),
    ("check", "(param i32 i32)", '$streams "[method]output-stream.check-write"', "memory"),
    ("subscribe", "(param i32) (result i32)", '$streams "[method]output-stream.subscribe"', ""),
    ("put", "(param i32 i32 i32 i32)", '$streams "[method]output-stream.blocking-write-and-flush"', "memory"),
    ("read", "(param i32 i64 i32)", '$streams "[method]input-stream.read"', "realloc"),
    ("exit", "(param i32)", '$exit "exit"', ""),
    ("environment", "(param i32)", '$environment "get-environment"', "realloc"),
    ("directories", "(param i32)", '$preopens "get-directories"', "realloc"),
    ("random", "(result i64)", '$random "get-random-u64"', ""),
    ("bytes", "(param i64 i32)", '$random "get-random-bytes"', "realloc"),
    ("now", "(param i32)", '$wall "now"', "memory"),
)
_OPTIONS = {"": "", "memory": "(memory $memory)", "realloc": "(memory $memory) (realloc $realloc)"}

_LOWERED = "".join(
    f"(core func $w-{name} (canon lower (func {origin}) {_OPTIONS[option]}))"
    for name, _, origin, option in _FUNCTIONS
)
_WIRING = (
    '(with "w" (instance'
    + "".join(f'(export "{name}" (func $w-{name}))' for name, *_ in _FUNCTIONS)
    + '(export "drop" (func $w-drop))))'
)
_CORE_IMPORTS = (
    "".join(f'(import "w" "{name}" (func ${name} {core}))' for name, core, *_ in _FUNCTIONS)
    + '(import "w" "drop" (func $drop (param i32)))'
)
_DROP = "(core func $w-drop (canon resource.drop $out))"


def wasi_guest(
    name: str, call: str, data: Data | None = None, code: ErrorCode | None = None, **of: Any
) -> Guest:
    """A guest with all of these imports; `call` may use each by its name."""
    return guest(
        name,
        code,
        call=call,
        data=data,
        before=_IMPORTS,
        lowered=_LOWERED + _DROP,
        wiring=_WIRING,
        imports=_CORE_IMPORTS,
        capabilities=("log", "wasi"),
        **of,
    )


def guests() -> Iterable[Guest]:
    """What of WASI works, and what does not."""
    trap = ErrorCode.TRAP
    data = Data()
    at, size = data.string("hello\n\x1b[31mwor")
    put = f"(call $put (local.get $s) (i32.const {at}) (i32.const {size}) (i32.const 64))"
    opened = "(local $s i32) (local.set $s (call $stdout)) (call $check (local.get $s) (i32.const 64))"
    yield wasi_guest(
        "prints",
        opened + put + put + "(call $drop (local.get $s))" + content(data, "true"),
        data,
        metadata={
            "logs": [
                {"level": "info", "message": "hello"},
                {"level": "info", "message": "\\x1b[31mworhello"},
                {"level": "info", "message": "\\x1b[31mwor"},
            ]
        },
    )
    data = Data()
    true = content(data, "true")
    # err(closed): the end of what there is to read.
    closed = "(if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then unreachable))"
    yield wasi_guest(
        "reads-nothing", f"(call $read (call $stdin) (i64.const 9) (i32.const 64)) {closed} {true}", data
    )
    empty = "(if (i32.load (i32.const 68)) (then unreachable))"
    yield wasi_guest("has-no-environment", f"(call $environment (i32.const 64)) {empty} {true}", data)
    yield wasi_guest("has-no-directories", f"(call $directories (i32.const 64)) {empty} {true}", data)
    yield wasi_guest("exits", f"(call $exit (i32.const 0)) {true}", data, trap, says="called exit")
    subscribe = f"(drop (call $subscribe (call $stdout))) {true}"
    yield wasi_guest("subscribes", subscribe, data, trap, says="has not been defined")
    write = f"(call $put (call $stdout) (i32.const 0) (i32.const 200000) (i32.const 64)) {true}"
    yield wasi_guest("writes-too-much", write, data, trap, says="at most 4096 bytes")
    much = f"(call $bytes (i64.const 100000000) (i32.const 64)) {true}"
    yield wasi_guest("wants-much-chance", much, data, trap, says="at most 4096 random bytes")
    handles = f"(loop $l (drop (call $stdout)) (br $l)) {true}"
    yield wasi_guest("hoards-handles", handles, data, trap, says="at most 1000 handles")


#: A random number and the time as 48 bytes of hex, so that two calls can be compared.
CHANCE_AND_TIME = wasi_guest(
    "chance-and-time",
    """
    (local $i i32) (local $b i32)
    (i64.store (i32.const 256) (call $random)) (call $now (i32.const 264))
    (i32.store8 (i32.const 512) (i32.const 34)) (i32.store8 (i32.const 561) (i32.const 34))
    (loop $l
      (local.set $b (i32.load8_u (i32.add (i32.const 256) (i32.shr_u (local.get $i) (i32.const 1)))))
      (i32.store8 (i32.add (i32.const 513) (local.get $i)) (i32.add (i32.const 97)
        (select (i32.shr_u (local.get $b) (i32.const 4)) (i32.and (local.get $b) (i32.const 15))
          (i32.eqz (i32.and (local.get $i) (i32.const 1))))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 48))))
    (i32.store (i32.const 16) (i32.const 512)) (i32.store (i32.const 20) (i32.const 50))
    (i32.store (i32.const 24) (i32.const 0)) (i32.const 16)""",
)

WASI_GUESTS = {one.name: one for one in guests()}
