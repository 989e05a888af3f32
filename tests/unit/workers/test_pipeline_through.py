"""Taking items through a stage: the same calls together, hooks in between, what cannot be written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from penstock_broker_config.ledger import Commit, FlowClaim, FlowState
from penstock_plugins.pipelines.hooks import NO_HOOKS, CallNote, Hooks, StepNote, SubmissionNote
from penstock_plugins.pipelines.item import ItemState, ItemStatus, UndoCall
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.program import Instruction
from penstock_plugins.pipelines.trace_cut import trace_json
from penstock_workers.lease import Hold
from penstock_workers.pipelines.asking import ask, end_call
from penstock_workers.pipelines.counting import count_steps
from penstock_workers.pipelines.fanning import made_before, make_members
from penstock_workers.pipelines.given_up import FlowLostError, GiveBackError
from penstock_workers.pipelines.plans import compile_all
from penstock_workers.pipelines.states import encoded
from penstock_workers.pipelines.through import take_through
from penstock_workers.pipelines.work import FlowWork
from tests.support.pipelines.strategies import plan_of, toy

STEPS: list[dict[str, Any]] = [
    {"tool": "toy.add"},
    {"branch": "data.n > 5", "if_true": [{"tool": "toy.odd"}], "if_false": [{"filter": "data.n != 2"}]},
    {"tool": "toy.add"},
]


class Toys:
    """Runs toy calls, and notes the size of each group."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, int]] = []

    def run(self, work: FlowWork, instruction: Instruction, positions: Sequence[int]) -> None:
        """See `Calls.run`."""
        self.groups.append((instruction.tool_name, len(positions)))
        asked = ask(work, positions)
        for position, params in asked.calls:
            found, failure = toy(instruction.tool_name, params)
            end_call(work, position, params=params, data=found, failure=failure, duration_ms=1.0)


class Looking:
    """A test double of hooks: notes what it is told, and ends items that carry one number."""

    def __init__(self, end_at: int) -> None:
        self.end_at = end_at
        self.steps: list[tuple[int, str, int]] = []

    def before_submission(self, note: SubmissionNote) -> None:
        """See `Hooks`."""

    def after_call(self, note: CallNote) -> None:
        """See `Hooks`."""

    def between_steps(self, note: StepNote) -> None:
        """See `Hooks`."""
        self.steps.append((note.index, note.step, note.data["n"]))

    def should_end(self, note: StepNote) -> bool:
        """See `Hooks`."""
        return bool(note.data["n"] == self.end_at)


def work_of(
    numbers: Sequence[int], steps: list[dict[str, Any]] = STEPS, *, hooks: Hooks = NO_HOOKS, **claim: Any
) -> FlowWork:
    """A flow of items with these numbers."""
    compiled = compile_all(plan_of(Pipeline.from_dict({"name": "p", "steps": steps})).to_json())
    return FlowWork(
        flow="r/10",
        stage="0",
        claim=FlowClaim(state=FlowState.GRANTED, count=len(numbers), base=10, **claim),
        hold=Hold(">r/10", 1, 0.0),
        compiled=compiled,
        items=[ItemState.fresh({"n": n}) for n in numbers],
        hooks=hooks,
    )


def through(work: FlowWork, calls: Toys) -> list[tuple[str, Any]]:
    """Take the items to the end, and say how they stand."""
    take_through(work, work.program.program.end, calls)
    return [(item.status.name, item.data) for item in work.items if item is not None]


def test_items_that_ask_for_the_same_call_are_asked_together() -> None:
    """Whichever way they came."""
    calls = Toys()

    ended = through(work_of([0, 1, 7, 8]), calls)

    assert calls.groups == [("toy.add", 4), ("toy.odd", 2), ("toy.add", 2)]
    assert [status for status, _ in ended] == ["DONE", "FILTERED", "DONE", "FAILED"]


def test_W8_hooks_look_in_between_steps_and_may_end_an_item() -> None:
    """With the item's index in the run, after each step of an item that goes on."""
    hooks = Looking(end_at=1)

    ended = through(work_of([0, 7], hooks=hooks), Toys())

    assert ended == [("DONE", {"n": 1}), ("DONE", {"n": 10})]
    assert hooks.steps[:2] == [(10, "steps[0]", 1), (11, "steps[0]", 8)]


def test_a_flow_that_is_lost_or_late_is_left_at_once() -> None:
    """Nothing of it counts any more."""
    lost, late = work_of([1]), work_of([1], now_ms=2000, deadline_ms=1000)
    lost.hold.ended = Commit.STOPPED

    with pytest.raises(FlowLostError):
        through(lost, Toys())
    with pytest.raises(GiveBackError):
        through(late, Toys())


def test_counters_say_what_each_step_did() -> None:
    """By the path of the step."""
    work = work_of([0, 1, 7, 8])
    through(work, Toys())

    counters = count_steps(work.traces, work.items)

    assert counters["steps[0]|in"] == counters["steps[0]|out"] == 4
    assert counters["steps[0]|us"] == 4000
    assert counters["steps[1].if_true[0]|failed"] == 1
    assert counters["steps[1].if_false[0]|filtered"] == 1


def test_a_branch_and_a_handler_give_the_items_that_come_out_of_them() -> None:
    """Not those that fail, are filtered, or go on elsewhere; those that stop inside have come out."""
    stops = {"tool": "toy.add", "stop_when": "data.n > 20"}
    work = work_of(
        [0, 1, 7, 8, 30],
        [
            {"tool": "toy.add"},
            {
                "branch": "data.n > 5",
                "if_true": [stops, {"tool": "toy.odd"}],
                "if_false": [{"filter": "data.n != 2"}],
            },
            {"catch": [{"tool": "toy.add", "params": {"n": 0}}, {"filter": "false"}]},
            {"tool": "toy.add"},
        ],
    )
    ended = through(work, Toys())

    counters = count_steps(work.traces, work.items)

    assert [status for status, _ in ended] == ["DONE", "FILTERED", "FILTERED", "DONE", "DONE"]
    assert (counters["steps[1]|in"], counters["steps[1]|out"]) == (5, 3)
    assert counters["steps[1].if_true[1]|failed"] == 1
    assert (counters["steps[2]|in"], counters["steps[2]|skipped"]) == (3, 2)
    assert "steps[2]|out" not in counters


def test_an_item_that_a_composites_filter_takes_out_is_filtered_of_the_composite_too() -> None:
    """It came to that step, and its trace says what became of it."""
    work = work_of([4, 5], [{"branch": "true", "if_true": [{"tool": "toy.sieve"}]}])
    ended = through(work, Toys())

    counters = count_steps(work.traces, work.items)

    assert [status for status, _ in ended] == ["FILTERED", "DONE"]
    composite = "steps[0].if_true[0]"
    assert [counters[f"{composite}|{what}"] for what in ("in", "out", "filtered")] == [2, 1, 1]
    assert [(one["step"], one.get("passed")) for one in work.traces[0][-2:]] == [
        (f"{composite} > steps[2].if_true[0]", False),
        (composite, False),
    ]


@pytest.mark.parametrize(
    ("step", "came"),
    [({"branch": "data.n > 5", "if_true": [{"tool": "toy.add"}]}, 2), ({"catch": [{"transform": {}}]}, 3)],
    ids=["branch", "catch"],
)
def test_what_fails_when_it_comes_out_of_a_step_has_come_to_it_once(step: dict[str, Any], came: int) -> None:
    """A branch, and a handler, have an entry from when the item went in, and one of the failure."""
    work = work_of([1, 3, 8], [{"tool": "toy.odd"}, {**step, "stop_when": "data.nothing == 1"}])
    ended = through(work, Toys())

    counters = count_steps(work.traces, work.items)

    assert ended[1][0] == "FAILED"
    assert counters["steps[1]|in"] == came
    assert counters["steps[1]|failed"] == came - counters.get("steps[1]|skipped", 0)


def test_W8_an_item_that_a_hook_ends_has_come_out_of_all_that_it_was_in() -> None:
    """Of branches and composites."""
    steps = [{"branch": "true", "if_true": [{"tool": "toy.both"}, {"tool": "toy.add"}]}]
    work = work_of([0], steps, hooks=Looking(end_at=1))
    ended = through(work, Toys())

    counters = count_steps(work.traces, work.items)

    assert ended == [("DONE", {"n": 1})]
    for path in ("steps[0]", "steps[0].if_true[0]", "steps[0].if_true[0] > steps[0]"):
        assert counters[f"{path}|in"] == counters[f"{path}|out"] == 1
    assert "steps[0].if_true[1]|in" not in counters


def test_an_item_whose_members_json_cannot_hold_fails_alone() -> None:
    """The others' members are made, and known again when they are gathered."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    work = work_of([1, 2], [{"map": "data.l", "steps": [{"transform": "{{input}}"}]}])
    work.item(0).data, work.item(1).data = {"l": [1, deep]}, {"l": [1, 2]}
    fanning = take_through(work, work.program.stages[0].last, Toys())

    flows = make_members(work, fanning)

    assert fanning == [0, 1]
    assert [item and item.status for item in work.items] == [ItemStatus.FAILED, ItemStatus.RUNNING]
    assert work.traces[0][-1]["result"]["error"]["code"] == "PIPELINE_ERROR"
    made, again = (
        [(one.position, one.index) for f in some for one in f.made] for some in (flows, made_before(work))
    )
    assert made == again == [(1, 0), (1, 1)]
    assert [orjson.loads(one.state)["d"] for flow in flows for one in flow.made] == [1, 2]


@pytest.mark.parametrize("member", [True, False])
def test_L2_an_undoing_that_json_cannot_hold_is_said_not_to_be_done(*, member: bool) -> None:
    """The others are done; the item says so at its end."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    fine = UndoCall(tool=2, params={"n": 1}, step="steps[0]")
    both, none = ItemState.fresh({}), ItemState.fresh({})
    both.undo = [fine, UndoCall(tool=2, params={"n": deep}, step="steps[1]")]
    none.undo = both.undo[1:]

    read = [ItemState.from_json(orjson.loads(encoded(item, member=member))) for item in (both, none)]

    assert [item.undo for item in read] == [[fine], []]
    assert [item.not_undone[0]["step"] for item in read] == ["steps[1]"] * 2
    statuses = [ItemStatus.FAILED if member else ItemStatus.UNDOING, ItemStatus.FAILED]
    assert [item.status for item in read] == statuses
    assert read[1].failure is not None
    assert ("not_undone" in (read[1].failure.details or {})) is not member


def test_an_item_that_json_cannot_hold_fails_and_its_trace_says_what_is_left_out() -> None:
    """What is to be undone is kept."""
    deep: Any = {}
    for _ in range(300):
        deep = {"d": deep}
    item = ItemState.fresh(deep)

    state = orjson.loads(encoded(item, member=False))

    assert item.status is ItemStatus.FAILED
    assert state["d"] is None
    assert orjson.loads(trace_json([{"type": "tool", "step": "s", "result": deep, "duration_ms": 1.0}])) == [
        {"type": "tool", "step": "s", "duration_ms": 1.0, "left_out": "it cannot be written as JSON"}
    ]
