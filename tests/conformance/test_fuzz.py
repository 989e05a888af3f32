"""Any params, and anything that a guest may point at as its result: the same from each way into wasmtime."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock_workers.executor import PreparedTool
from penstock_workers.outcome import Outcome
from tests.conformance.guest import Guest, guest
from tests.conformance.house import WAYS, House

_ECHO = guest("echo-anything")
#: `{"t":"` and then words of eight hexadecimal digits: where the result is, and its three words.
_TEXT_AT = 6
_PUPPET = guest(
    "puppet",
    declarations="""
      (func $word (param $at i32) (result i32) (local $n i32) (local $end i32) (local $digit i32)
        (local.set $end (i32.add (local.get $at) (i32.const 8)))
        (loop $next
          (local.set $digit (i32.load8_u (local.get $at)))
          (local.set $n (i32.or (i32.shl (local.get $n) (i32.const 4))
            (i32.sub (local.get $digit) (select (i32.const 87) (i32.const 48)
              (i32.gt_u (local.get $digit) (i32.const 57))))))
          (br_if $next (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))
        (local.get $n))""",
    call="".join(
        f"""
      (i32.store (i32.const {to}) (call $word (i32.add (local.get $args) (i32.const {_TEXT_AT + 8 * n}))))"""
        for n, to in enumerate((16, 20, 24), start=1)
    )
    + f"""
      (call $word (i32.add (local.get $args) (i32.const {_TEXT_AT})))""",
)

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
#: Places in the guest's memory and a page beyond it, and the ends of all numbers.
_WORDS = (
    st.integers(0, 64)
    | st.integers(0, 5 * 65536)
    | st.integers(2**31 - 64, 2**31 + 64)
    | st.integers(2**32 - 64, 2**32 - 1)
)


@pytest.fixture(scope="module")
def tools() -> dict[str, list[PreparedTool]]:
    """Of each guest, its tool on each way."""
    houses = [House(way=way) for way in WAYS.values()]
    guests: tuple[Guest, ...] = (_ECHO, _PUPPET)
    return {one.name: [house.prepare(one) for house in houses] for one in guests}


def _same(tools: list[PreparedTool], params: bytes) -> Outcome:
    outcomes = [tool.invoke(params, token=way) for way, tool in zip(WAYS, tools, strict=True)]
    seen = {(outcome.content, outcome.failure and outcome.failure.code) for outcome in outcomes}
    assert len(seen) == 1, [(way, outcome) for way, outcome in zip(WAYS, outcomes, strict=True)]
    return outcomes[0]


@given(params=st.dictionaries(st.text(), _JSON, max_size=5))
@example(params={"": "\x00"})
@example(params={"text": "\U0010ffff" * 1000})
def test_W2_any_params_reach_the_guest_and_come_back(
    tools: dict[str, list[PreparedTool]], params: dict[str, Any]
) -> None:
    """To the byte of their JSON, or refused by all."""
    text = orjson.dumps(params)

    outcome = _same(tools["echo-anything"], text)

    assert outcome.failure is not None or (outcome.content and orjson.loads(outcome.content) == params)


@given(result=_WORDS, at=_WORDS, size=_WORDS, is_error=_WORDS)
@example(result=16, at=16, size=0, is_error=0)
@example(result=2**32 - 16, at=0, size=0, is_error=0)
@example(result=16, at=2**32 - 1, size=2, is_error=0)
def test_W2_whatever_a_guest_points_at_ends_the_same(
    tools: dict[str, list[PreparedTool]], result: int, at: int, size: int, is_error: int
) -> None:
    """And the process lives."""
    text = "".join(f"{word:08x}" for word in (result, at, size, is_error))

    _same(tools["puppet"], orjson.dumps({"t": text}))
