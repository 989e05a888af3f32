"""Who looks in between steps is told of every kind of step, in a process and on a worker alike (W-8)."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_broker_config.ledger import FlowClaim, FlowState
from penstock_plugins.pipelines.hooks import CallNote, StepNote, SubmissionNote
from penstock_plugins.pipelines.item import ItemState
from penstock_plugins.pipelines.local_run import run_locally
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan
from penstock_workers.lease import Hold
from penstock_workers.pipelines.asking import ask, end_call
from penstock_workers.pipelines.plans import compile_all
from penstock_workers.pipelines.through import take_through
from penstock_workers.pipelines.work import FlowWork
from tests.support.pipelines.strategies import plan_of, toy

ADD = {"tool": "toy.add"}
SEVEN = {"transform": {"n": 7}}


class Looking:
    """A test double of hooks: notes each step, and ends items after one of them."""

    def __init__(self, end_after: str = "") -> None:
        self.end_after = end_after
        self.steps: list[str] = []

    def before_submission(self, note: SubmissionNote) -> None:
        """See `Hooks`."""

    def after_call(self, note: CallNote) -> None:
        """See `Hooks`."""

    def between_steps(self, note: StepNote) -> None:
        """See `Hooks`."""
        self.steps.append(note.step)

    def should_end(self, note: StepNote) -> bool:
        """See `Hooks`."""
        return note.step == self.end_after


class Toys:
    """Runs toy calls."""

    def run(self, work: FlowWork, instruction: Any, positions: Any) -> None:
        """See `Calls.run`."""
        for position, params in ask(work, positions).calls:
            data, failure = toy(instruction.tool_name, params)
            end_call(work, position, params=params, data=data, failure=failure, duration_ms=1.0)


def locally(plan: Plan, looking: Looking) -> ItemState:
    """Run one item in this process."""
    [ended] = run_locally(plan, [{"n": 0}], lambda tool, params: toy(tool.name, params), hooks=looking)
    return ended.item


def on_a_worker(plan: Plan, looking: Looking) -> ItemState:
    """Take one item through as a worker does."""
    item = ItemState.fresh({"n": 0})
    work = FlowWork(
        flow="r/0",
        stage="0",
        claim=FlowClaim(state=FlowState.GRANTED, count=1),
        hold=Hold(">r/0", 1, 0.0),
        compiled=compile_all(plan.to_json()),
        items=[item],
        hooks=looking,
    )
    take_through(work, work.program.program.end, Toys())
    return item


everywhere = pytest.mark.parametrize("run", [locally, on_a_worker])


@everywhere
@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([ADD, ADD], ["steps[0]", "steps[1]"]),
        ([SEVEN], ["steps[0]"]),
        ([{"filter": "true"}], ["steps[0]"]),
        ([{"filter": "false"}], []),
        ([{**SEVEN, "when": "false"}], []),
        ([{"branch": "true", "if_true": [SEVEN]}], ["steps[0].if_true[0]", "steps[0]"]),
        ([{"transform": "{{data.m}}"}, {"catch": [SEVEN]}], ["steps[1].catch[0]", "steps[1]"]),
        ([SEVEN, {"catch": [SEVEN]}], ["steps[0]"]),
        ([{"tool": "toy.odd", "continue_on_error": True}], ["steps[0]"]),
        ([{"tool": "toy.odd"}], []),
        ([{"tool": "toy.both"}], [*(f"steps[0] > steps[{n}]" for n in range(3)), "steps[0]"]),
    ],
)
def test_W8_hooks_are_told_of_each_step_that_ends(
    run: Any, steps: list[dict[str, Any]], told: list[str]
) -> None:
    """Whatever kind it is of, where the item goes on."""
    looking = Looking()

    run(plan_of(Pipeline.from_dict({"name": "p", "steps": steps})), looking)

    assert looking.steps == told


@everywhere
@pytest.mark.parametrize("first", [ADD, SEVEN, {"filter": "true"}, {"branch": "true", "if_true": [ADD]}])
def test_W8_a_hook_ends_an_item_after_any_step(run: Any, first: dict[str, Any]) -> None:
    """Successfully, with what it carries."""
    steps = [first, {"transform": "{{data.nothing}}"}]

    item = run(plan_of(Pipeline.from_dict({"name": "p", "steps": steps})), Looking("steps[0]"))

    assert item.failure is None
    assert item.data["n"] in {0, 1, 7}


def test_W8_hooks_are_told_of_members_and_of_what_gathers_them() -> None:
    """The members' steps first."""
    looking = Looking()
    steps = [{"parallel": {"a": [SEVEN], "b": [ADD]}}, {"map": "[data.a]", "steps": [SEVEN]}]

    locally(plan_of(Pipeline.from_dict({"name": "p", "steps": steps})), looking)

    assert looking.steps == [
        "steps[0].parallel.a[0]",
        "steps[0].parallel.b[0]",
        "steps[0]",
        "steps[1].steps[0]",
        "steps[1]",
    ]
