"""What an item of a run costs: by the run's own counters, or by its tools."""

from __future__ import annotations

import pytest

from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.builder import Pipeline, step, tool
from penstock_scheduler.planning import make_plan
from penstock_scheduler.run_costs import STEP_US, RunCosts
from tests.unit.scheduler.test_planning import ONCE, PURE, plugin

TEXT, NET = plugin("text", a=PURE, b=PURE), plugin("net", get=ONCE)
A, B, GET = f"{TEXT.digest}:text.a", f"{TEXT.digest}:text.b", f"{NET.digest}:net.get"


def costs_of(pipeline: Pipeline) -> RunCosts:
    """Of two tools in one stage, and one in another."""
    return RunCosts(make_plan(pipeline, ToolIndex([TEXT, NET]), lambda pool: "penstock.default"))


LINE = costs_of(Pipeline("p").pipe("text.a").pipe("text.b").pipe("net.get"))


@pytest.mark.parametrize(
    ("tools_us", "cost_us"),
    [
        ({A: 20.0, B: 30.0, GET: 40.0}, 50.0 + 2 * STEP_US),
        ({A: 20.0, B: 30.0, GET: 100.0}, 100.0 + STEP_US),
        ({A: 20.0, B: None, GET: 100.0}, None),
    ],
)
def test_before_anything_is_counted_the_tools_say_what_an_item_costs(
    tools_us: dict[str, float | None], cost_us: float | None
) -> None:
    """The stage that takes longest counts; when one is not known, nothing is."""
    assert LINE.tools == [A, B, GET]
    assert LINE.of_item({}, tools_us) == cost_us


def test_calls_in_the_stages_own_task_are_measured_by_the_run_itself() -> None:
    """For all items that came there, those that skipped a step included."""
    unknown: dict[str, float | None] = dict.fromkeys(LINE.tools)
    counters = {"steps[0]|in": 10, "steps[0]|us": 200, "steps[1]|in": 5, "steps[1]|us": 100}

    assert LINE.of_item(counters, unknown) is None, "nothing is known of the last stage"
    assert LINE.of_item(counters, {**unknown, GET: 5.0}) == 30.0 + 1.5 * STEP_US
    assert LINE.of_item({**counters, "steps[2]|in": 8, "steps[2]|us": 800}, unknown) == 100.0 + STEP_US


def test_what_members_do_counts_for_the_item_that_they_are_of() -> None:
    """An item of a thousand elements is a chunk by itself."""
    costs = costs_of(Pipeline("p").map("data.x", [tool("text.a"), step(transform="{{data}}")]))
    counters = {
        "steps[0]|in": 2,
        "steps[0].steps[0]|in": 2000,
        "steps[0].steps[0]|us": 40_000,
        "steps[0].steps[1]|in": 2000,
    }

    assert costs.of_item({}, {}) is None, "nobody knows how many there will be"
    assert costs.of_item(counters, {}) == 20_000.0 + 2000 * STEP_US


def test_steps_that_are_no_calls_cost_something_too() -> None:
    """So that many of them travel together, and not all."""
    costs = costs_of(Pipeline("p").transform({"n": 1}))

    assert costs.tools == []
    assert costs.of_item({}, {}) == STEP_US
    assert costs.of_item({"steps[0]|in": 2, "steps[0]|us": 2}, {}) == 1.0 + STEP_US
