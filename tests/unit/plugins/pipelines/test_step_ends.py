"""A step's end counts whole or not at all: its data, its result, what undoes it, its trace (L-1)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.pipelines.compiler import compile_plan
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.local_run import LocalResult, run_locally
from penstock_plugins.pipelines.machine import Machine
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan, PlannedTool
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.result import ToolFailure
from tests.support.pipelines.strategies import plan_of, toy

#: Gives {"n": 11}, and is undone with that.
UNDOABLE: dict[str, Any] = {
    "tool": "toy.add",
    "params": {"n": 10},
    "compensate": {"tool": "toy.undo", "params": {"n": "{{result.data.n}}"}},
}
COMPOSITE = {**UNDOABLE, "tool": "toy.both", "params": {"n": 0}}
#: Whatever ends a step and has no value.
ENDS = {"output": {"output": "{{result.data.nothing}}"}, "stop_when": {"stop_when": "data.nothing > 1"}}
SEES = {"catch": [{"transform": {"data": "{{data}}", "named": "{{steps.one || `null`}}"}}]}


def run(*steps: dict[str, Any]) -> tuple[LocalResult, list[Any]]:
    """Run one item through steps; also the params of each undoing."""
    undone: list[Any] = []

    def call(tool: PlannedTool, params: Any) -> tuple[Any, ToolFailure | None]:
        if tool.name == "toy.undo":
            undone.append(params)
        return toy(tool.name, params)

    [result] = run_locally(plan(*steps), [{"n": 0}], call)
    return result, undone


def plan(*steps: dict[str, Any]) -> Plan:
    """The plan of these steps."""
    return plan_of(Pipeline.from_dict({"name": "ends", "steps": list(steps)}))


every_end = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
each_call = pytest.mark.parametrize("step", [UNDOABLE, COMPOSITE], ids=["tool", "composite"])


@every_end
@each_call
def test_L1_a_step_that_fails_at_its_end_leaves_the_data_as_it_was(
    step: dict[str, Any], end: dict[str, Any]
) -> None:
    """And no result, whichever of its expressions had no value."""
    result, _ = run({**step, **end, "name": "one"}, SEES)

    assert result.item.data == {"data": {"n": 0}, "named": None}


@every_end
@each_call
@pytest.mark.parametrize("more", [{}, {"continue_on_error": True, "default": {"n": 1}}])
def test_L1_a_step_that_fails_at_its_end_is_undone_once(
    step: dict[str, Any], end: dict[str, Any], more: dict[str, Any]
) -> None:
    """What its call did was done; `continue_on_error` takes failures of calls only."""
    result, undone = run({**step, **end, **more})

    assert result.item.status is ItemStatus.FAILED
    assert len(undone) == 1
    assert result.item.undone == ["steps[0]"]


@every_end
@pytest.mark.parametrize("step", [UNDOABLE, COMPOSITE, {"transform": {"n": 7}}, {"filter": "true"}])
def test_L2_a_step_that_fails_at_its_end_has_one_trace_entry(
    step: dict[str, Any], end: dict[str, Any]
) -> None:
    """With the failure, and what the tool gave."""
    if "output" in end and "tool" not in step:
        end = ENDS["stop_when"]

    result, _ = run({**step, **end})

    [entry] = [one for one in result.trace if one["step"] == "steps[0]" and one["type"] != "compensate"]
    assert entry["result"]["success"] is False
    assert entry["result"]["error"]["code"] == "VALIDATION_ERROR"
    if "tool" in step:
        assert entry["result"]["data"]["n"] > 0


@every_end
def test_L2_an_item_that_failed_at_a_composites_end_goes_on_there(end: dict[str, Any]) -> None:
    """Inside of the composite, as it was."""
    found = plan({key: value for key, value in (COMPOSITE | end).items() if key != "compensate"})
    [result] = run_locally(found, [{"n": 0}], lambda tool, params: toy(tool.name, params))
    item = ItemState.from_json(orjson.loads(orjson.dumps(result.item.to_json()))).rewound()
    machine = Machine(compile_plan(found)[0])

    machine.advance(item, machine.program.end, [])

    assert item.failure is not None
    assert item.failure == result.item.failure


def test_L4_a_catch_that_does_not_want_a_failure_is_in_the_trace_as_skipped() -> None:
    """Whether its `when` is false or has no value."""
    result, _ = run(
        {"tool": "toy.odd", "params": {"n": 3}},
        {"catch": [], "when": "error.code == 'TIMEOUT'"},
        {"catch": [], "when": "data.nothing == 1"},
        {"catch": [{"transform": {"n": 2}}]},
    )

    assert result.item.data == {"n": 2}
    assert [(one["type"], one.get("skipped"), one.get("taken")) for one in result.trace] == [
        ("tool", None, None),
        ("catch", True, None),
        ("catch", True, None),
        ("catch", None, True),
        ("transform", None, None),
    ]


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"output": {"n": "{{result.data.n}}", "was": "{{input.n}}"}},
        {"stop_when": "data.n == 1"},
        {"continue_on_error": True, "default": {"n": 7}},
        ENDS["stop_when"],
        {"compensate": UNDOABLE["compensate"]},
    ],
    ids=["plain", "output", "stops", "continues", "has no value", "undoable"],
)
def test_L2_calls_that_are_told_together_end_as_each_by_itself(extra: dict[str, Any]) -> None:
    """Whether they work or fail, and whatever is read of them later."""
    step = {"tool": "toy.add", "name": "one", "params": {"n": 10}, **extra}
    machine = Machine(
        compile_plan(plan(step, {"transform": {"read": "{{steps.one.data}}"}}))[0], now=lambda: 0
    )
    failure = ToolFailure(code=ErrorCode.NOT_FOUND, message="no")
    told = [
        ({"n": 10}, {"n": 1}, None, 1.5),
        ({"n": 10}, None, failure, 2.5),
        ({"n": 10}, {"n": 2}, None, 0.25),
    ]
    items = [ItemState.fresh({"n": 0}) for _ in told * 2]
    traces: list[Trace] = [[] for _ in items]
    for item, trace in zip(items, traces, strict=True):
        machine.advance(item, machine.program.end, trace)

    for k, (params, data, why, took_ms) in enumerate(told):
        machine.call_ended(
            items[k], params=params, data=data, failure=why, duration_ms=took_ms, trace=traces[k]
        )
    machine.calls_ended(0, [(items[3 + k], traces[3 + k], *one) for k, one in enumerate(told)])

    assert items[:3] == items[3:]
    assert traces[:3] == traces[3:]
    assert [len(trace) for trace in traces[:3]] == [1, 1, 1]


@pytest.mark.parametrize("fails", [False, True], ids=["works", "fails"])
@pytest.mark.parametrize("ends", [{}, {"continue_on_error": True}], ids=["", "continue"])
def test_L2_a_composite_took_from_its_entering_to_its_leaving(*, fails: bool, ends: dict[str, Any]) -> None:
    """Also when the item travels between its steps, to a machine of another process."""
    program = compile_plan(plan({**COMPOSITE, **ends}))[0]
    seconds = [1_800_000_000.0]
    trace: Trace = []
    item, calls = ItemState.fresh({"n": 0}), 0

    while item.status is ItemStatus.RUNNING:
        machine = Machine(program, now=lambda: seconds[0])
        if machine.advance(item, len(program.code), trace) is not None:
            calls += 1
            seconds[0] += 1.5
            failure = ToolFailure(code=ErrorCode.NOT_FOUND, message="no") if fails else None
            machine.call_ended(item, params={}, data={"n": 1}, failure=failure, duration_ms=1.0, trace=trace)
            item = ItemState.from_json(orjson.loads(orjson.dumps(item.to_json())))

    [whole] = [entry for entry in trace if entry.get("tool") == "toy.both"]
    assert calls > 0
    assert whole["duration_ms"] == 1500.0 * calls
