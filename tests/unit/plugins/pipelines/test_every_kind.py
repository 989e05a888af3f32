"""Every kind of step, and everything that can become of it (L-2): one table, with what must come out.

Each pipeline begins with `START`, then has the step, then `AFTER`, which shows what a later step sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from penstock_plugins.errors import InvalidPipelineError
from penstock_plugins.pipelines.check import check
from penstock_plugins.pipelines.item import ItemStatus
from penstock_plugins.pipelines.local_run import LocalResult, run_locally
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import PlannedTool
from penstock_plugins.result import ToolFailure
from penstock_plugins.tool import Tool
from tests.support.pipelines.strategies import plan_of, toy

GIVEN = {"n": 0, "l": [1, 2]}
START = {"transform": GIVEN}
AFTER = {"transform": {"seen": "{{data}}", "result": "{{results[1]}}"}}
UNDOABLE = {
    "tool": "toy.add",
    "params": {"n": 10},
    "compensate": {"tool": "toy.undo", "params": {"n": "{{result.data.n}}"}},
}
FAILS = {"tool": "toy.odd", "params": {"n": 3}}
SEVEN = {"transform": {"n": 7}}
GOES = {"filter": "false"}
HANDLER = {"catch": [{"transform": {"code": "{{error.code}}"}}]}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of step, as it succeeds, fails and filters."""

    ok: dict[str, Any]
    #: What it makes of the data.
    data: Any
    fails: dict[str, Any]
    code: str
    #: With a filter that lets nothing through. None: it can have none.
    filters: dict[str, Any] | None = None
    #: What is left then. None: the item leaves.
    left: Any = None
    #: With an undoable step inside, and one that fails after it.
    undoes: dict[str, Any] | None = None


KINDS = {
    "tool": Kind(ok={"tool": "toy.add", "params": {"n": 1}}, data={"n": 2}, fails=FAILS, code="NOT_FOUND"),
    "composite": Kind(
        ok={"tool": "toy.both", "params": {"n": 0}},
        data={"n": 3},
        fails={"tool": "toy.both", "params": {"n": 2}},
        code="COMPOSITE_STEP_FAILED",
    ),
    "transform": Kind(
        ok=SEVEN, data={"n": 7}, fails={"transform": "{{data.nothing}}"}, code="VALIDATION_ERROR"
    ),
    "filter": Kind(
        ok={"filter": "data.n == 0"},
        data=GIVEN,
        fails={"filter": "data.nothing > 1"},
        code="VALIDATION_ERROR",
        filters=GOES,
    ),
    "branch": Kind(
        ok={"branch": "data.n == 0", "if_true": [SEVEN]},
        data={"n": 7},
        fails={"branch": "data.n > 0", "if_false": [FAILS]},
        code="NOT_FOUND",
        filters={"branch": "true", "if_true": [GOES]},
        undoes={"branch": "true", "if_true": [UNDOABLE, FAILS]},
    ),
    "map": Kind(
        ok={"map": "data.l", "steps": [{"transform": {"n": "{{item}}", "at": "{{index}}"}}]},
        data=[{"n": 1, "at": 0}, {"n": 2, "at": 1}],
        fails={"map": "data.l", "steps": [FAILS]},
        code="NOT_FOUND",
        filters={"map": "data.l", "steps": [{"filter": "item > 1"}, SEVEN]},
        left=[{"n": 7}],
        undoes={"map": "[data]", "steps": [UNDOABLE, FAILS]},
    ),
    "parallel": Kind(
        ok={"parallel": {"a": [SEVEN], "b": [{"transform": "{{data.l}}"}]}},
        data={"a": {"n": 7}, "b": [1, 2]},
        fails={"parallel": {"a": [SEVEN], "b": [FAILS]}},
        code="NOT_FOUND",
        filters={"parallel": {"a": [GOES], "b": [SEVEN]}},
        left={"a": None, "b": {"n": 7}},
        undoes={"parallel": {"a": [UNDOABLE], "b": [FAILS]}},
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


class Ran:
    """A pipeline that has run with one item."""

    def __init__(self, *steps: dict[str, Any]) -> None:
        self.calls: list[tuple[str, Any]] = []
        plan = plan_of(Pipeline.from_dict({"name": "table", "steps": list(steps)}))
        self.result: LocalResult
        [self.result] = run_locally(plan, [{}], self._call)

    def _call(self, tool: PlannedTool, params: Any) -> tuple[Any, ToolFailure | None]:
        self.calls.append((tool.name, params))
        return toy(tool.name, params)

    @property
    def data(self) -> Any:
        """What came out of an item that did well."""
        assert self.result.item.failure is None, self.result.item.failure
        assert self.result.item.status is ItemStatus.DONE
        return self.result.item.data

    @property
    def code(self) -> str:
        """Why it failed."""
        assert self.result.item.failure is not None
        assert self.result.item.status is ItemStatus.FAILED
        return self.result.item.failure.code.value

    @property
    def undone(self) -> list[Any]:
        """What was undone, in that order."""
        return [params for name, params in self.calls if name == "toy.undo"]

    def entries(self, step: int) -> list[dict[str, Any]]:
        """What the trace says of a step of the pipeline itself."""
        return [entry for entry in self.result.trace if entry["step"] == f"steps[{step}]"]


@every_kind
def test_L2_success_is_what_the_next_step_sees(kind: Kind) -> None:
    ran = Ran(START, kind.ok, AFTER)

    assert ran.data == {"seen": kind.data, "result": {"success": True, "data": kind.data}}
    [entry] = ran.entries(1)
    assert "skipped" not in entry
    assert entry["duration_ms"] >= 0


@every_kind
def test_L2_a_failure_ends_the_item_with_the_steps_code(kind: Kind) -> None:
    ran = Ran(START, kind.fails, AFTER)

    assert ran.code == kind.code
    assert not ran.entries(2)
    failure = ran.result.item.failure
    assert failure is not None
    assert failure.details is not None
    assert failure.details["step"].startswith("steps[1]")
    assert "step" in failure.message


@pytest.mark.parametrize("params", ["{{data[0].l}}", "inherit"])
def test_L3_params_that_are_no_object_are_named(params: str) -> None:
    """By the step, the key and what was written there."""
    ran = Ran(START, {"transform": ["{{data}}"]}, {"tool": "toy.add", "params": params})

    failure = ran.result.item.failure
    assert failure is not None
    assert failure.message.startswith(f"step 3 (toy.add): params: {params}: the params of a tool are")
    assert failure.details == {"step": "steps[2]", "key": "params", "expression": params}


def test_L3_a_failure_in_a_member_names_its_own_step_expression_and_path() -> None:
    """However many fan-outs are around it."""
    inner = {"map": "data.l", "steps": [{"branch": "index == 1", "if_true": [{"transform": "{{item.x}}"}]}]}

    ran = Ran(START, {"parallel": {"a": [inner], "b": [SEVEN]}})

    failure = ran.result.item.failure
    assert failure is not None
    assert failure.details == {
        "step": "steps[1].parallel.a[0].steps[0].if_true[0]",
        "key": "transform",
        "expression": "{{item.x}}",
        "path": "item.x",
        "member": "a",
    }
    assert failure.message == (
        "step 2 (parallel): a: step 1 (map): element 1: "
        "step 1 (transform): transform: {{item.x}}: there is no item.x"
    )


@pytest.mark.parametrize("name", ["tool", "composite"])
@pytest.mark.parametrize(
    ("more", "seen"), [({}, GIVEN), ({"default": None}, None), ({"default": {"n": 1}}, {"n": 1})]
)
def test_L1_continue_on_error_goes_on_with_the_default_or_as_it_was(
    name: str, more: dict[str, Any], seen: Any
) -> None:
    kind = KINDS[name]

    ran = Ran(START, {**kind.fails, "continue_on_error": True, **more}, AFTER)

    assert ran.data["seen"] == seen
    assert ran.data["result"]["success"] is False
    assert ran.data["result"]["error"]["code"] == kind.code
    assert ran.entries(1)[-1]["result"]["success"] is False


@every_kind
@pytest.mark.parametrize("which", ["ok", "fails"])
def test_L1_a_step_whose_when_is_false_is_skipped(kind: Kind, which: str) -> None:
    ran = Ran(START, {**getattr(kind, which), "when": "data.n > 0", "stop_when": "true"}, AFTER)

    assert ran.data == {"seen": GIVEN, "result": None}
    [entry] = ran.entries(1)
    assert entry["skipped"] is True
    assert ran.calls == []


@every_kind
def test_L1_stop_when_ends_the_pipeline_well(kind: Kind) -> None:
    ran = Ran(START, {**kind.ok, "stop_when": "result.success"}, FAILS)

    assert ran.data == kind.data
    assert not ran.entries(2)


@every_kind
def test_L1_stop_when_that_is_false_stops_nothing(kind: Kind) -> None:
    ran = Ran(START, {**kind.ok, "stop_when": "!result.success"}, AFTER)

    assert ran.data["seen"] == kind.data


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.filters is not None])
def test_L2_what_is_filtered_leaves_its_flow_and_nothing_else(name: str) -> None:
    kind = KINDS[name]
    assert kind.filters is not None

    ran = Ran(START, kind.filters, AFTER)

    if kind.left is not None:
        assert ran.data["seen"] == kind.left
        return
    assert ran.result.filtered
    assert ran.result.success
    assert ran.result.item.data is None
    assert ran.result.trace[-1]["passed"] is False
    assert not ran.entries(2)


@every_kind
def test_L4_a_failure_is_caught_and_the_handlers_data_goes_on(kind: Kind) -> None:
    ran = Ran(START, kind.fails, HANDLER, SEVEN, UNDOABLE)

    assert ran.data == {"n": 11}
    assert ran.undone == []
    assert ran.entries(2)
    [handled] = [entry for entry in ran.result.trace if entry["step"] == "steps[2].catch[0]"]
    assert handled["result"]["data"] == {"code": kind.code}


@every_kind
def test_L4_without_a_failure_the_handler_is_skipped(kind: Kind) -> None:
    ran = Ran(START, kind.ok, {"catch": [FAILS]}, AFTER)

    assert ran.data["seen"] == kind.data
    [entry] = ran.entries(2)
    assert entry["skipped"] is True


@every_kind
def test_L4_a_handler_may_be_anything_and_fail_itself(kind: Kind) -> None:
    well, ill = Ran(START, FAILS, {"catch": [START, kind.ok]}), Ran(START, FAILS, {"catch": [kind.fails]})
    again = Ran(START, FAILS, {"catch": [kind.fails]}, HANDLER)

    assert well.data == kind.data
    assert ill.code == kind.code
    assert again.data == {"code": kind.code}


@every_kind
def test_L4_the_inner_catch_comes_first_and_the_outer_one_after_it(kind: Kind) -> None:
    inner = {"branch": "true", "if_true": [kind.fails, {"catch": [FAILS]}]}

    ran = Ran(START, inner, HANDLER)

    assert ran.data == {"code": "NOT_FOUND"}


@every_kind
def test_L2_a_failure_for_good_undoes_what_had_finished(kind: Kind) -> None:
    second = {**UNDOABLE, "params": {"n": 20}}

    ran = Ran(UNDOABLE, second, START, kind.fails)

    assert ran.code == kind.code
    assert ran.undone == [{"n": 21}, {"n": 11}]
    failure = ran.result.item.failure
    assert failure is not None
    assert failure.details is not None
    assert failure.details["undone"] == ["steps[1]", "steps[0]"]
    assert not failure.details["not_undone"]
    assert [entry["type"] for entry in ran.result.trace[-2:]] == ["compensate", "compensate"]


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.undoes is not None])
def test_L2_what_finished_inside_of_a_step_is_undone_too_and_first(name: str) -> None:
    kind = KINDS[name]
    assert kind.undoes is not None
    before = {**UNDOABLE, "params": {"n": 20}}

    for_good = Ran(before, kind.undoes)
    caught = Ran(before, kind.undoes, HANDLER)
    later = Ran(before, kind.undoes, HANDLER, FAILS)

    assert for_good.undone == [{"n": 11}, {"n": 21}]
    assert caught.data == {"code": "NOT_FOUND"}
    assert caught.undone == []
    assert later.undone == [{"n": 11}, {"n": 21}]


def test_L2_what_cannot_be_undone_is_said() -> None:
    stubborn = {**UNDOABLE, "compensate": {"tool": "toy.odd", "params": {"n": 3}}}

    ran = Ran(UNDOABLE, stubborn, FAILS)

    failure = ran.result.item.failure
    assert failure is not None
    assert failure.details is not None
    assert failure.details["undone"] == ["steps[0]"]
    assert failure.details["not_undone"] == [{"step": "steps[1]", "message": "nothing for 3"}]


@pytest.mark.parametrize("params", [[1], {"n": "text"}, {"n": 1, "more": 2}])
def test_L1_T4_params_of_a_composite_are_checked_before_its_first_step(params: Any) -> None:
    step = {"tool": "toy.strict", "params": "{{data.given}}"}

    ran = Ran({"transform": {"given": params}}, step)
    taken = Ran({"transform": {"given": params}}, {**step, "continue_on_error": True, "default": 1})

    assert ran.code == "VALIDATION_ERROR"
    assert ran.result.item.failure is not None
    assert "The params do not fit the tool's schema" in ran.result.item.failure.message
    assert ran.calls == []
    assert taken.data == 1


@pytest.mark.parametrize("way", ["results[1]", "steps.one"])
def test_L1_output_changes_the_data_and_results_have_what_the_tool_returned(way: str) -> None:
    step = {**KINDS["tool"].ok, "name": "one", "output": {"made": "{{result.data.n}}"}}
    after = {"transform": {"seen": "{{data.made}}", "returned": f"{{{{{way}.data.n}}}}"}}
    pipeline = Pipeline.from_dict({"name": "table", "steps": [START, step, after]})

    ran = Ran(START, step, after)

    assert ran.data == {"seen": 2, "returned": 2}
    assert not check(pipeline, lambda name: Tool(name="add", plugin="toy"))


@pytest.mark.parametrize("name", sorted(KINDS.keys() - {"tool", "composite"}))
def test_L1_only_calls_continue_on_error(name: str) -> None:
    with pytest.raises(InvalidPipelineError, match="continue_on_error"):
        Pipeline.from_dict({"name": "table", "steps": [{**KINDS[name].ok, "continue_on_error": True}]})


class TestCatch:
    """The kind of step that only a failure leads to, behind one that fails: all that can become of it."""

    def test_L4_success_is_what_its_steps_make(self) -> None:
        ran = Ran(FAILS, {"catch": [SEVEN]}, AFTER)

        assert ran.data == {"seen": {"n": 7}, "result": {"success": True, "data": {"n": 7}}}
        [entry] = ran.entries(1)
        assert entry["taken"] is True
        assert entry["error"]["code"] == "NOT_FOUND"
        assert entry["error"]["step"] == "steps[0]"

    def test_L4_failure_of_its_own_ends_the_item(self) -> None:
        ran = Ran(FAILS, {"catch": [{"transform": "{{data.nothing}}"}]}, AFTER)

        assert ran.code == "VALIDATION_ERROR"
        assert not ran.entries(2)

    def test_L4_when_false_leaves_the_failure_as_it_was(self) -> None:
        ran = Ran(FAILS, {"catch": [SEVEN], "when": "error.code == 'TIMEOUT'"}, AFTER)

        assert ran.code == "NOT_FOUND"
        [entry] = ran.entries(1)
        assert entry["skipped"] is True
        assert not ran.entries(2)

    def test_L1_stop_when_true_ends_the_pipeline_well(self) -> None:
        ran = Ran(FAILS, {"catch": [SEVEN], "stop_when": "result.data.n == 7"}, FAILS)

        assert ran.data == {"n": 7}
        assert not ran.entries(2)

    def test_L2_filtered_inside_of_it_the_item_leaves(self) -> None:
        ran = Ran(FAILS, {"catch": [GOES]}, AFTER)

        assert ran.result.filtered
        assert not ran.entries(2)

    def test_L4_caught_by_the_next_one(self) -> None:
        ran = Ran(FAILS, {"catch": [{"transform": "{{data.nothing}}"}]}, HANDLER)

        assert ran.data == {"code": "VALIDATION_ERROR"}

    def test_L2_compensated_when_a_later_step_fails_for_good(self) -> None:
        ran = Ran(FAILS, {"catch": [UNDOABLE]}, {**UNDOABLE, "params": {"n": 20}}, FAILS)

        assert ran.code == "NOT_FOUND"
        assert ran.undone == [{"n": 21}, {"n": 11}]


@pytest.mark.parametrize("name", ["tool", "composite"])
def test_L2_a_call_that_finished_is_undone_and_one_that_failed_is_not(name: str) -> None:
    undo = {"compensate": {"tool": "toy.undo", "params": {"n": "{{result.data.n || `1`}}"}}}
    kind = KINDS[name]

    finished = Ran({**kind.ok, **undo}, FAILS)
    taken = Ran({**kind.fails, **undo, "continue_on_error": True}, FAILS)

    assert finished.undone == [{"n": kind.data["n"]}]
    assert taken.undone == []
