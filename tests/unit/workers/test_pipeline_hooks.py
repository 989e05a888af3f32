"""Who looks in between steps is told of every kind of step, in a process and on a worker alike (W-8)."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_broker_config.ledger import FlowClaim, FlowState
from penstock_plugins.pipelines.hooks import (
    NO_HOOKS,
    CallNote,
    Hooks,
    StepNote,
    SubmissionNote,
    careful,
)
from penstock_plugins.pipelines.item import ItemState
from penstock_plugins.pipelines.local_run import run_locally
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan
from penstock_workers.bench import Bench
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


class Failing(Looking):
    """A test double of hooks that raise, or say nonsense."""

    def __init__(self, says: object = None) -> None:
        super().__init__()
        self._says = says

    def after_call(self, note: CallNote) -> None:
        """See `Hooks`."""
        raise RuntimeError(note.tool)

    def between_steps(self, note: StepNote) -> None:
        """See `Hooks`."""
        super().between_steps(note)
        raise RuntimeError(note.step)

    def should_end(self, note: StepNote) -> Any:
        """See `Hooks`."""
        if self._says is None:
            raise RuntimeError(note.step)
        return self._says


def bench_of(hooks: Hooks) -> Bench:
    """What a pool process has, with nothing else in it."""
    nothing: Any = None
    return Bench(
        **dict.fromkeys(("ledger", "executor", "keeper", "signer", "values", "finished"), nothing),
        lease_s=1.0,
        max_attempts=3,
        worker="w",
        stopping=lambda: False,
        queues=(),
        chain_s=0.0,
        hooks=hooks,
    )


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
        hooks=bench_of(looking).hooks,
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


@everywhere
@pytest.mark.parametrize("says", [None, "no", 1, object()])
def test_W9_a_failing_hook_warns_and_is_passed_over(
    run: Any, says: object, caplog: pytest.LogCaptureFixture
) -> None:
    """The item goes on as if nobody had looked in; the hook is asked again after the next step."""
    failing = Failing(says)

    item = run(plan_of(Pipeline.from_dict({"name": "p", "steps": [ADD, ADD]})), failing)

    assert (item.failure, item.data) == (None, {"n": 2})
    assert failing.steps == ["steps[0]", "steps[1]"]
    points = {getattr(record, "point", "") for record in caplog.records}
    assert {"between_steps", "should_end"} <= points


def test_W9_nobody_who_looks_in_costs_nothing() -> None:
    """And who is careful already is not wrapped again."""
    assert bench_of(NO_HOOKS).hooks is NO_HOOKS
    once = careful(Looking())
    assert careful(once) is once


def test_W9_a_hook_that_fails_after_a_call_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Who calls tools asks the bench's hooks."""
    bench_of(Failing()).hooks.after_call(CallNote(job="r", tool="toy.add", failure=None))

    assert "A hook is passed over: RuntimeError: toy.add" in caplog.text


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
