"""Failed items that go on: from the last good step, or from the beginning when steps were undone (L-2)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.pipelines.compiler import compile_plan
from penstock_plugins.pipelines.item import ItemState, ItemStatus, UndoCall
from penstock_plugins.pipelines.local_run import run_locally
from penstock_plugins.pipelines.machine import Machine
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan, PlannedTool
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.result import ToolFailure
from tests.support.pipelines.strategies import plan_of

UNDONE: dict[str, Any] = {
    "tool": "toy.add",
    "params": {"n": 1},
    "compensate": {"tool": "toy.undo", "params": {"n": "{{result.data.n}}"}},
}


class Repaired:
    """Toy tools of which one fails until it is repaired."""

    def __init__(self) -> None:
        self.broken = True
        self.calls: list[str] = []

    def __call__(self, tool: PlannedTool, params: Any) -> tuple[Any, ToolFailure | None]:
        self.calls.append(tool.name)
        if tool.name == "toy.odd" and self.broken:
            return None, ToolFailure(code=ErrorCode.DEPENDENCY_ERROR, message="not now")
        return {"n": params.get("n", 0) + 1}, None


def failed(plan: Plan, tools: Repaired) -> ItemState:
    """The item of a run that failed, as it is stored."""
    [result] = run_locally(plan, [{"n": 5}], tools)
    assert result.item.status is ItemStatus.FAILED
    tools.calls.clear()
    tools.broken = False
    return ItemState.from_json(orjson.loads(orjson.dumps(result.item.to_json())))


def go_on(plan: Plan, item: ItemState, tools: Repaired) -> ItemState:
    """Take an item of a pipeline without fan-outs to its end."""
    machine, trace = Machine(compile_plan(plan)[0]), Trace()
    while (asks := machine.advance(item, machine.program.end, trace)) is not None:
        params = machine.params(item, trace)
        data, failure = tools(plan.tools[asks.tool], params)
        machine.call_ended(item, params=params, data=data, failure=failure, duration_ms=0.0, trace=trace)
    return item


def plan_with(*steps: dict[str, Any]) -> Plan:
    """The plan of a pipeline of these steps."""
    return plan_of(Pipeline.from_dict({"name": "p", "steps": list(steps)}))


@pytest.mark.parametrize("inside", [False, True])
def test_L2_a_failed_item_goes_on_from_the_last_good_step(inside: bool) -> None:
    steps = [{"tool": "toy.add"}, {"tool": "toy.odd"}, {"tool": "toy.add"}]
    plan = plan_with(*([{"branch": "true", "if_true": steps}] if inside else steps))
    tools = Repaired()

    item = go_on(plan, failed(plan, tools).rewound(), tools)

    assert (item.status, item.data) == (ItemStatus.DONE, {"n": 8})
    assert tools.calls == ["toy.odd", "toy.add"]


def test_L2_what_was_undone_is_done_again() -> None:
    plan = plan_with(UNDONE, {"tool": "toy.odd"}, {"transform": {"n": "{{data.n}}"}})
    tools = Repaired()
    item = failed(plan, tools)
    assert item.undone

    item = go_on(plan, item.rewound(), tools)

    assert (item.status, item.data) == (ItemStatus.DONE, {"n": 3})
    assert tools.calls == ["toy.add", "toy.odd"]
    assert not item.undone


def test_L2_what_is_being_undone_goes_on_being_undone() -> None:
    plan = plan_with(UNDONE, UNDONE, {"tool": "toy.odd"})
    tools = Repaired()
    item = failed(plan, tools)
    item.status, left = ItemStatus.UNDOING, UndoCall(tool=2, params={"n": 2}, step="steps[0]")
    item.undo, item.undone = [left], ["steps[1]"]

    begun = item.rewound()

    assert (begun.status, begun.undo, begun.undone) == (ItemStatus.UNDOING, [left], ["steps[1]"])


def test_L2_what_members_did_and_had_undone_is_done_again_with_the_first_input() -> None:
    body = [UNDONE, {"tool": "toy.odd"}]
    plan = plan_with({"tool": "toy.add"}, {"parallel": {"a": body}})
    tools = Repaired()
    item = failed(plan, tools)
    assert item.undone

    begun = item.rewound()

    assert (begun.pc, begun.data, begun.undone) == (0, {"n": 5}, [])


def test_L2_the_input_travels_only_where_it_is_needed() -> None:
    without, with_undo = plan_with({"tool": "toy.add"}), plan_with(UNDONE)

    assert not compile_plan(without)[0].reads_input
    assert compile_plan(with_undo)[0].reads_input
