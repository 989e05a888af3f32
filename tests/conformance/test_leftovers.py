"""Nothing of an instance is there for the next one, of the same plugin or of another.

A pool hands the same memory out again. What a guest left in it is written over, or given back to the kernel,
when its instance goes; guests look here for what that forgot, in each part that is wiped in a way of its own.
"""

from __future__ import annotations

import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_workers.pool import Pool
from tests.conformance.guest import Guest, guest
from tests.conformance.house import WAYS, House, Way
from tests.conformance.wat import Data

#: As few places as one call may ask for: after a few plugins each place was somebody else's.
CRAMPED = Pool(memories=4, tables=16, instances=32)

#: `$found` counts what should not be there; `$soil` writes to all of it. In the order of the functions: below
#: the bytes that a pool wipes by writing, above them, in memory that was grown, in data, in two tables.
_LOOK = """
  (memory $own (export "own") 8)
  (data (memory $own) (i32.const 300000) "data")
  (table $small 100 funcref) (table $grown 1 funcref)
  (elem declare func $soil)
  (func $bytes (param $at i32) (param $end i32) (result i32) (local $n i32)
    (loop $l
      (if (i64.ne (i64.load $own (local.get $at)) (i64.const 0)) (then
        (local.set $n (i32.add (local.get $n) (i32.const 1)))))
      (br_if $l (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 512))) (local.get $end))))
    (local.get $n))
  (func $refs (result i32) (local $i i32) (local $n i32)
    (loop $l
      (if (i32.eqz (ref.is_null (table.get $small (local.get $i)))) (then
        (local.set $n (i32.add (local.get $n) (i32.const 1)))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
    (local.set $i (i32.const 0))
    (loop $m
      (if (i32.eqz (ref.is_null (table.get $grown (local.get $i)))) (then
        (local.set $n (i32.add (local.get $n) (i32.const 1)))))
      (br_if $m (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (table.size $grown))))
    (local.get $n))
  (func $found (result i32)
    (call $bytes (i32.const 0) (i32.const 131072))
    (i32.add (call $bytes (i32.const 131072) (i32.const 299520)))
    (i32.add (call $bytes (i32.const 300544) (i32.shl (memory.size $own) (i32.const 16))))
    (i32.add (i32.ne (i32.load $own (i32.const 300000)) (i32.const 0x61746164)))
    (i32.add (call $refs)))
  (func $room
    (drop (memory.grow $own (i32.const 40)))
    (drop (table.grow $grown (ref.null func) (i32.const 3000))))
  (func $soil
    (memory.fill $own (i32.const 0) (i32.const 0xAA) (i32.shl (memory.size $own) (i32.const 16)))
    (table.fill $small (i32.const 0) (ref.func $soil) (i32.const 100))
    (table.fill $grown (i32.const 0) (ref.func $soil) (table.size $grown)))"""

#: Answers 1: clean, and then soiled; 2: clean, but the soiling did not show; 3: something was found; 4: both.
_CALL = """
  (call $room)
  (i32.store8 (i32.const 512) (i32.add (i32.const 49) (i32.shl (i32.ne (call $found) (i32.const 0))
    (i32.const 1))))
  (call $soil)
  (i32.store8 (i32.const 512) (i32.add (i32.load8_u (i32.const 512))
    (i32.lt_u (call $found) (i32.const 9000))))
  (i32.store (i32.const 16) (i32.const 512)) (i32.store (i32.const 20) (i32.const 1))
  (i32.store (i32.const 24) (i32.const 0)) %END%"""


def looker(name: str, *, end: str = "(i32.const 16)", code: ErrorCode | None = None) -> Guest:
    """A guest that looks for leftovers, and leaves some."""
    limits = {"timeout_s": 1.0} if code is ErrorCode.TIMEOUT else {}
    call = _CALL.replace("%END%", end)
    return guest(name, code, call=call, declarations=_LOOK, data=Data(), limits=limits)


LOOKERS = [looker(f"looker-{n}") for n in range(6)]
#: These leave without a word: their instances end in a trap.
RUDE = [
    looker("traps", end="unreachable", code=ErrorCode.TRAP),
    looker("endless", end="(loop $l (br $l)) unreachable", code=ErrorCode.TIMEOUT),
]


@pytest.mark.parametrize("way", [*WAYS.values(), Way("lean", CRAMPED)], ids=[*WAYS, "cramped"])
def test_nothing_is_left_of_an_instance(way: Way) -> None:
    """Memory, grown memory, data and tables begin anew: in the same plugin, in others, after traps."""
    house = House(way=way)

    for _ in range(2):
        for guest_ in (*LOOKERS, *RUDE, *LOOKERS[:2]):
            outcome = house.call(guest_)

            assert (outcome.failure and outcome.failure.code) == guest_.code
            assert guest_.code is not None or outcome.content == b"1"
