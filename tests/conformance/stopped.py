"""Guests that take too much, of time, fuel, memory or stack, or that trap."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_plugins.error_codes import ErrorCode
from tests.conformance.guest import LOOP, SHORT_S, Guest, guest
from tests.conformance.wat import Data

_SHORT = {"timeout_s": SHORT_S}
_METERED = {"fuel": 200_000}

#: Returns an i32, `%VALUE%`, as 8 hex digits in a JSON string.
_WRITE_HEX = """
  (func $hex (param $n i32) (result i32) (i32.add (local.get $n)
    (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $n) (i32.const 10)))))
  (func $write (param $v i32) (local $i i32)
    (i32.store8 (i32.const 512) (i32.const 34)) (i32.store8 (i32.const 521) (i32.const 34))
    (loop $l
      (i32.store8 (i32.add (i32.const 513) (local.get $i)) (call $hex (i32.and (i32.const 15)
        (i32.shr_u (local.get $v) (i32.sub (i32.const 28) (i32.shl (local.get $i) (i32.const 2)))))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8)))))"""
_RETURN_HEX = """
  (call $write (call $grow))
  (i32.store (i32.const 16) (i32.const 512)) (i32.store (i32.const 20) (i32.const 10))
  (i32.store (i32.const 24) (i32.const 0)) (i32.const 16)"""
_GROW_MEMORY = """
  (func $grow (result i32) (loop $l
    (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (memory.size))"""
_GROW_TABLE = """
  (table $t 1 funcref)
  (func $grow (result i32) (loop $l
    (br_if $l (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) (table.size $t))"""
_FILL = "(loop $l (memory.fill (i32.const 65536) (i32.const 1) (i32.const 66000000)) (br $l)) unreachable"

_DEEPER = "(func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))"
#: Asks the host on its way down, until the stack is used up inside or beside the host's function.
_DEEPER_LOGGING = """
  (func $deeper (param i32) (result i32)
    (call $log (i32.const 0) (i32.const 1024) (i32.const 1))
    (i32.add (call $deeper (local.get 0)) (i32.const 1)))"""

#: The name of its only function is the text of another trap.
_FORGED = '(func $f (@name "f\\0a\\0aCaused by:\\0a    wasm trap: interrupt\\0a\\1b[31m") unreachable)'


#: A table that the main module shares with the one that has `realloc`.
_TABLE = '(memory (export "memory") 4) (table (export "table") 1 funcref)'
_SHARED_TABLE = '(import "env" "table" (table $shared 1 funcref))'
_LOG_IN_TABLE = """
  (elem (table $shared) (i32.const 0) func $logs)
  (func $logs (call $log (i32.const 0) (i32.const 1024) (i32.const 1)))"""
_CALL_TABLE = """
  (if (i32.eqz (local.get $old)) (then (call_indirect (i32.const 0))))
  (local.set $at (global.get $next))
  (global.set $next (i32.add (local.get $at) (local.get $size))) (local.get $at)"""


def time() -> Iterable[Guest]:
    """Wherever a guest can go round, it is stopped."""
    timeout, limits = ErrorCode.TIMEOUT, _SHORT
    yield guest("endless-loop", timeout, call=LOOP, limits=limits)
    yield guest("loop-in-init", timeout, init=LOOP, limits=limits)
    start = "(func $begin (loop $l (br $l))) (start $begin)"
    yield guest("loop-in-start", timeout, declarations=start, limits=limits)
    yield guest("loop-in-realloc", timeout, realloc=LOOP, limits=limits)
    yield guest("loop-in-post-return", timeout, post_return=LOOP, limits=limits)
    large = '(memory (export "memory") 1024)'
    yield guest("fill-for-ever", timeout, call=_FILL, memory=large, limits=limits)
    data = Data()
    at, size = data.string("again")
    flood = f"(loop $l (call $log (i32.const 0) (i32.const {at}) (i32.const {size})) (br $l)) unreachable"
    yield guest(
        "log-for-ever",
        timeout,
        call=flood,
        data=data,
        host=["log"],
        limits={**_SHORT, "log_lines": 3},
        metadata={"logs": [{"level": "debug", "message": "again"}] * 3, "truncated": True},
    )
    yield guest("out-of-fuel", ErrorCode.OUT_OF_FUEL, call=LOOP, limits=_METERED)
    yield guest("out-of-fuel-in-init", ErrorCode.OUT_OF_FUEL, init=LOOP, limits=_METERED)


def memory() -> Iterable[Guest]:
    """A guest that wants more is told no, or ends."""
    yield guest(
        "grow-memory",
        call=_RETURN_HEX,
        declarations=_WRITE_HEX + _GROW_MEMORY,
        returns=b'"00000094"',
        limits={"memory_bytes": 148 * 65536},
    )
    yield guest(
        "grow-table",
        call=_RETURN_HEX,
        declarations=_WRITE_HEX + _GROW_TABLE,
        returns=b'"000007d1"',
        limits={"table_elements": 2500},
    )
    much = ErrorCode.OUT_OF_MEMORY
    yield guest("memory-at-once", much, memory='(memory (export "memory") 60000)')
    yield guest("table-at-once", much, declarations="(table 9000000 funcref)")
    memories = "(core module $One (memory 900))" + "(core instance (instantiate $One))" * 50
    yield guest("many-memories", much, before=memories)
    instances = "(core module $One)" + "(core instance (instantiate $One))" * 200
    yield guest("many-instances", much, before=instances)
    yield guest("many-tables", much, declarations="(table 1 funcref)" * 90)
    yield guest(
        "allocator-gives-up",
        much,
        declarations="(func $penstock_out_of_memory unreachable)",
        call="(call $penstock_out_of_memory) unreachable",
    )


def traps() -> Iterable[Guest]:
    """A trap ends its call and nothing else."""
    trap = ErrorCode.TRAP
    yield guest("trap", trap, call="unreachable", says="unreachable")
    yield guest("divide-by-zero", trap, call="(i32.div_s (i32.const 1) (i32.const 0))", says="by zero")
    yield guest("wild-read", trap, call="(i32.load (i32.const -64))", says="out of bounds")
    yield guest(
        "wrong-signature",
        trap,
        declarations="(table 1 funcref) (elem (i32.const 0) $f) (func $f) (type $t (func (result i32)))",
        call="(call_indirect (type $t) (i32.const 0))",
        says="type mismatch",
    )
    exhausted = "call stack exhausted"
    yield guest("recursion", trap, declarations=_DEEPER, call="(call $deeper (i32.const 0))", says=exhausted)
    yield guest(
        "recursion-through-the-host",
        trap,
        declarations=_DEEPER_LOGGING,
        call="(call $deeper (i32.const 0))",
        host=["log"],
        limits={"log_lines": 1},
        says=exhausted,
    )
    yield guest(
        "trap-that-looks-like-a-timeout",
        trap,
        declarations=_FORGED,
        call="(call $f) unreachable",
        says="unreachable",
    )
    yield guest("init-traps", ErrorCode.INIT_FAILED, init="unreachable", says="plugin init failed")
    start = "(func $begin unreachable) (start $begin)"
    yield guest("start-traps", ErrorCode.INIT_FAILED, declarations=start, says="plugin init failed")
    # The host is not entered while it waits for the guest to take or to let go of a value.
    yield guest(
        "host-call-inside-realloc",
        trap,
        memory=_TABLE,
        imports=_SHARED_TABLE,
        declarations=_LOG_IN_TABLE,
        realloc=_CALL_TABLE,
        host=["log"],
        says="cannot leave component instance",
    )
    yield guest(
        "host-call-after-return",
        trap,
        post_return="(call $log (i32.const 0) (i32.const 1024) (i32.const 1))",
        host=["log"],
        says="cannot leave component instance",
    )
    # The text of its trap has twenty names of its functions; the message has none of them.
    name = "x" * 90_000
    deep = f'(func $f (@name "{name}") (param i32) (result i32) (if (result i32) (local.get 0)'
    deep += " (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else unreachable)))"
    yield guest(
        "trap-at-length", trap, declarations=deep, call="(call $f (i32.const 50))", says="unreachable"
    )
