"""Entries of traces have a size (L-2)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from penstock_plugins.pipelines.local_run import run_locally
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.trace_cut import MAX_ENTRY_BYTES, cut, trace_json
from tests.support.pipelines.strategies import plan_of, toy

LARGE = "x" * MAX_ENTRY_BYTES
SMALL = {"type": "tool", "step": "steps[0]", "params": {"n": 1}, "result": {"success": True, "data": 1}}


@pytest.mark.parametrize(
    ("more", "missing"),
    [
        ({"params": {"text": LARGE}}, {"params": MAX_ENTRY_BYTES + 11}),
        ({"result": {"success": True, "data": LARGE}}, {"result.data": MAX_ENTRY_BYTES + 2}),
        (
            {"params": LARGE, "result": {"success": True, "data": LARGE * 2}},
            {"result.data": 2 * MAX_ENTRY_BYTES + 2, "params": MAX_ENTRY_BYTES + 2},
        ),
        (
            {"result": {"success": False, "error": {"code": "TRAP", "details": [LARGE]}}},
            {"result.error.details": MAX_ENTRY_BYTES + 4},
        ),
        ({"error": {"code": "TRAP", "details": [LARGE]}}, {"error.details": MAX_ENTRY_BYTES + 4}),
    ],
)
def test_L2_an_entry_that_is_too_large_says_what_is_missing(
    more: dict[str, Any], missing: dict[str, int]
) -> None:
    """Its largest parts, with their bytes; the rest stays, and the other entries as they are."""
    trace = [SMALL, {**SMALL, **more}]

    small, large = orjson.loads(trace_json(trace))

    assert cut(trace) == [small, large]
    assert small == SMALL
    assert large["cut"] == missing
    assert large["step"] == "steps[0]"
    assert len(orjson.dumps(large)) <= MAX_ENTRY_BYTES


def test_L2_a_message_that_is_too_long_is_shortened() -> None:
    """Nothing else in an entry can be large."""
    failed = {"success": False, "error": {"code": "TRAP", "message": LARGE}}

    [entry] = cut([{**SMALL, "result": failed}])

    assert entry["result"]["error"]["code"] == "TRAP"
    assert len(orjson.dumps(entry)) < MAX_ENTRY_BYTES


def test_L2_what_gathers_members_has_all_their_entries() -> None:
    """Each with a size of its own."""
    steps = [
        {"transform": [{"n": 1, "text": LARGE}, {"n": 2, "text": "short"}]},
        {"map": "data", "steps": [{"tool": "toy.add"}]},
    ]
    plan = plan_of(Pipeline.from_dict({"name": "p", "steps": steps}))

    [result] = run_locally(plan, [{}], lambda tool, params: toy(tool.name, params))

    made, gathered = result.trace
    [first], [second] = gathered["members"]
    assert list(made["cut"]) == ["result.data"]
    assert list(first["cut"]) == ["params"]
    assert second["params"] == {"n": 2, "text": "short"}
    assert gathered["result"]["data"] == [{"n": 2}, {"n": 3}]


def test_L2_values_that_are_nested_too_deep_are_left_out_and_what_became_of_the_steps_stays() -> None:
    """Also those of members, which are deeper in the trace of what gathers them than in their own."""
    deep: Any = {"n": 1}
    for _ in range(248):
        deep = {"n": 1, "deep": deep}
    called = {"type": "tool", "step": "steps[0].steps[0]", "tool": "toy.add", "duration_ms": 1.0}
    made = {"type": "transform", "step": "steps[0].steps[1]", "duration_ms": 1.0}
    own = [
        {**called, "params": deep, "result": {"success": True, "data": {"n": 2}}},
        {**made, "result": {"success": True, "data": {"n": 2}}},
    ]
    around = {
        "type": "map",
        "step": "steps[0]",
        "duration_ms": 1.0,
        "result": {"success": True, "data": deep},
    }

    [gathered] = orjson.loads(trace_json([{**around, "members": [[{**around, "members": [own]}]]}]))

    [[inner]] = gathered["members"]
    [[first, second]] = inner["members"]
    assert "left_out" in gathered
    assert first == {
        "type": "tool",
        "step": "steps[0].steps[0]",
        "tool": "toy.add",
        "result": {"success": True},
        "duration_ms": 1.0,
        "left_out": "it cannot be written as JSON",
    }
    assert second["result"]["success"] is True
