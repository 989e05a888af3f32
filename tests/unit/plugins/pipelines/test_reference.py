"""Random pipelines: the machine and the reference interpreter agree, however the items travel (L-2)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_plugins.pipelines.compiler import compile_plan
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.local_run import run_locally
from penstock_plugins.pipelines.machine import Machine
from penstock_plugins.pipelines.machine_undoing import next_undo, undo_ended
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan, PlannedTool
from penstock_plugins.pipelines.program import Op
from penstock_plugins.pipelines.stages import StageKind, next_stage, stages_of
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.result import ToolFailure
from tests.support.pipelines.reference import Reference
from tests.support.pipelines.reference_values import Failed
from tests.support.pipelines.shapes import shape_of
from tests.support.pipelines.strategies import COMPOSITES, INPUTS, pipelines, plan_of, toy

_RANDOM = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


class _Witness:
    """Notes each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def __call__(self, tool: PlannedTool, params: Any) -> tuple[Any, ToolFailure | None]:
        self.calls.append((tool.name, params))
        return toy(tool.name, params)


def _expected(pipeline: Pipeline, given: Any) -> tuple[tuple[str, Any], Reference]:
    def call(tool: str, params: Any) -> Any:
        data, failure = toy(tool, params)
        if failure is not None:
            raise Failed(failure.code.value)
        return data

    reference = Reference(call, COMPOSITES)
    return reference.run(pipeline, given), reference


def _ended(item: ItemState) -> tuple[str, Any]:
    if item.failure is not None:
        return "failed", item.failure.code.value
    return ("filtered", None) if item.status is ItemStatus.FILTERED else ("ok", item.data)


@_RANDOM
@given(pipeline=pipelines(), given_=INPUTS)
def test_L2_random_pipelines_end_as_the_reference_says(pipeline: Pipeline, given_: dict[str, Any]) -> None:
    expected, reference = _expected(pipeline, given_)
    witness = _Witness()

    [result] = run_locally(plan_of(pipeline), [given_], witness)

    assert _ended(result.item) == expected
    assert [call for call in witness.calls if call[0] == "toy.undo"] == [
        (tool, params) for _, tool, params in reference.undone
    ]
    assert shape_of(result.trace) == reference.trace


@_RANDOM
@given(
    pipeline=pipelines(),
    inputs=st.lists(INPUTS, min_size=1, max_size=5),
    fuse=st.booleans(),
    pure=st.booleans(),
)
def test_L2_items_that_travel_stage_by_stage_end_the_same(
    pipeline: Pipeline, inputs: list[dict[str, Any]], fuse: bool, pure: bool
) -> None:
    plan = Plan.from_json(plan_of(pipeline, fuse=fuse, pure=pure).to_json())

    ended = _Flows(plan).run(0, inputs)

    for one, (item, trace) in zip(inputs, ended, strict=True):
        expected, reference = _expected(pipeline, one)
        assert _ended(item) == expected
        assert shape_of(trace) == reference.trace


class _Flows:
    """Takes flows through their stages as workers do, with every item through JSON in between."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        programs = compile_plan(plan)
        self._machines = [Machine(program) for program in programs]
        self._stages = [stages_of(plan, program) for program in programs]

    def run(self, program: int, inputs: list[Any]) -> list[tuple[ItemState, Trace]]:
        machine, stages = self._machines[program], self._stages[program]
        items = [
            ItemState.fresh(given, reads_input=machine.program.reads_input, index=index)
            for index, given in enumerate(inputs)
        ]
        traces: list[Trace] = [[] for _ in items]
        last_number = -1
        while (stage := next_stage(stages, items)) is not None:
            assert stage.number > last_number, "stages are gone through in order, each once"
            last_number = stage.number
            for item, trace in zip(items, traces, strict=True):
                if item.status is ItemStatus.RUNNING and stage.first <= item.pc <= stage.last:
                    self._through(machine, item, stage.last, stage.kind, trace)
            items = [ItemState.from_json(orjson.loads(orjson.dumps(item.to_json()))) for item in items]
        for item, trace in zip(items, traces, strict=True):
            while (undo := next_undo(item)) is not None and program == 0:
                data, failure = toy(self._plan.tools[undo.tool].name, undo.params)
                undo_ended(item, data=data, failure=failure, tool="", duration_ms=0.0, trace=trace)
        return list(zip(items, traces, strict=True))

    def _through(self, machine: Machine, item: ItemState, last: int, kind: StageKind, trace: Trace) -> None:
        while (asks := machine.advance(item, last, trace)) is not None:
            if asks.op is Op.CALL:
                assert kind in {StageKind.CALL, StageKind.INLINE}
                if (params := machine.params(item, trace)) is not None:
                    data, failure = toy(asks.tool_name, params)
                    machine.call_ended(
                        item, params=params, data=data, failure=failure, duration_ms=0.0, trace=trace
                    )
            else:
                assert asks.op is Op.FAN, "what gathers has a stage of its own"
                made = machine.members(item, trace)
                if made is not None:
                    ended = [self.run(number, [given])[0] for number, given in made]
                    machine.gather(item, [one for one, _ in ended], [one for _, one in ended], trace)


def test_L4_what_one_catch_does_not_want_is_for_the_next_one() -> None:
    steps = [
        {"tool": "toy.odd", "params": {"n": 3}},
        {"catch": [{"transform": {"n": 1}}], "when": "error.code == 'TIMEOUT'"},
        {"catch": [{"transform": {"n": 2}}]},
    ]

    [result] = run_locally(plan_of(Pipeline.from_dict({"name": "p", "steps": steps})), [{"n": 0}], _Witness())

    assert result.item.data == {"n": 2}


def test_a_plan_reads_back_as_it_was_written() -> None:
    plan = plan_of(Pipeline.from_dict({"name": "p", "steps": [{"tool": "toy.both"}]}))

    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"v": 1}', b"[1]", b'{"v":1,"names":{"a":7}}'])
def test_a_damaged_plan_is_refused(damage: bytes) -> None:
    from penstock_plugins.errors import EnvelopeError

    with pytest.raises(EnvelopeError):
        Plan.from_json(damage)
