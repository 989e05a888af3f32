"""Runs: how inputs become items, how large their chunks are, and what the tree of a run shows. No Redis."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from penstock_broker_config.envelope import Signer, flow_context
from penstock_broker_config.flow_items import unpack_items
from penstock_broker_config.ledger import FlowStep, JobState, RunSpec, Submitted
from penstock_broker_config.settings import Settings
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ConfigurationError, EnvelopeError, InvalidPipelineError, ParamsError
from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.builder import Pipeline, tool
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Traits
from penstock_scheduler.operations import Operations
from penstock_scheduler.planning import Planned, make_plan
from penstock_scheduler.run_costs import STEP_US
from penstock_scheduler.run_sending import Beginnings
from penstock_scheduler.tree import tree_of
from tests.support.bundles import make_bundle, make_tool
from tests.unit.scheduler.wires import ScriptedLedger, ScriptedWire, job_record

LINE = Pipeline("line").pipe("text.stats", name="measure").transform({"n": "{{data.n}}"})


def text_plugin() -> PluginRecord:
    """A plugin with a pure tool that takes anything."""
    bundle = make_bundle()
    return PluginRecord(
        digest=bundle.digest, manifest=bundle.manifest, tools=(make_tool(),), files=bundle.entries
    )


def planned(pipeline: Pipeline = LINE, *, fuse: bool = True) -> Planned:
    """Its plan."""
    return make_plan(pipeline, ToolIndex([text_plugin()]), lambda pool: "penstock.default", fuse=fuse)


class RunLedger(ScriptedLedger):
    """Accepts items of runs."""

    def __init__(self) -> None:
        super().__init__(job_record())
        self.begun: list[tuple[RunSpec, bytes, dict[str, Any]]] = []
        self.counters: dict[str, int] = {}

    def open_run(self, spec: RunSpec, *, deadline_s: float | None = None) -> bool:
        return True

    def steps(self, run: str) -> dict[str, int]:
        return self.counters

    def begin(self, spec: RunSpec, items: bytes, **terms: Any) -> Submitted:
        self.begun.append((spec, items, terms))
        return Submitted(
            accepted=True,
            job_id=spec.run,
            cost_us=None,
            finished=0,
            catalog_version=1,
            state=JobState.QUEUED,
        )


@pytest.fixture
def wire() -> ScriptedWire:
    """A wire with the plugin in its catalog."""
    wire = ScriptedWire()
    wire.ledger = RunLedger()
    wire.records = [text_plugin()]
    return wire


def test_an_item_is_accepted_with_its_plan_and_then_its_chain_is_sent(wire: ScriptedWire) -> None:
    """The states are sealed for their place, the plan for its run."""
    operations = Operations(Settings(signing_key="s" * 32, tenant="t"))

    ticket = wire.run(operations.submit(LINE, {"n": 1}, {"deadline_s": 5.0, "session": {"cwd": "/x"}}))

    signer = Signer(b"s" * 32)
    ((spec, items, terms),) = wire.ledger.begun
    (state,) = unpack_items(
        signer.unseal(flow_context(f"{ticket.job_id}/0", "0", 0), items), lambda reference: reference
    )
    plan = orjson.loads(signer.unseal(ticket.job_id, spec.plan))
    assert ItemState.from_json(state).data == {"n": 1}
    assert (spec.pipeline, spec.tenant, terms["total"], terms["single"]) == ("line", "t", 1, True)
    assert (plan["context"]["session"], terms["deadline_s"]) == ({"cwd": "/x"}, 5.0)
    assert plan["context"]["request"]["chain_depth"] == 0
    assert plan["context"]["tenant"] == "t"
    assert wire.steps == [(f"{ticket.job_id}/0", ["text.stats"], 1)]
    assert ticket.digest == spec.digest == planned().digest
    with pytest.raises(EnvelopeError):
        signer.unseal("another", spec.plan)


@pytest.mark.parametrize("option", [{"timeout_s": 1.0}, {"batch_key": "k"}, {"eta_s": 1.0}])
def test_what_a_pipeline_says_of_its_steps_is_refused_of_a_run(wire: ScriptedWire, option: Any) -> None:
    """It would mean nothing."""
    with pytest.raises(ConfigurationError, match=r"for calls of a tool"):
        wire.run(Operations(Settings()).submit(LINE, {}, option))
    assert wire.ledger.begun == []


def test_E2_a_retry_that_nothing_comes_of_is_logged_when_it_is_submitted(
    wire: ScriptedWire, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for a pipeline, which runs all the same."""
    operations = Operations(Settings())
    again = Pipeline("again").pipe("text.stats", name="measure", retry={"max_attempts": 5})

    for pipeline in (again, again, LINE):
        wire.run(operations.submit(pipeline, {"text": "a"}, {}))

    assert len(wire.ledger.begun) == 3
    [logged] = caplog.messages
    assert logged.startswith("Pipeline again, steps[0].retry (measure): it has no effect: text.stats is not")


def test_chunks_are_sized_by_what_an_item_costs(wire: ScriptedWire) -> None:
    """As soon as that is known; until then nothing is said."""
    runs = Operations(Settings()).runs
    found = planned()
    sender = wire.run(runs.sender(found, {}, "r"))
    texts = [Beginnings(found, None).state({"n": 1})]

    unknown = wire.run(sender.send(texts, 0))
    wire.measured_us = {f"{found.plan.tools[0].digest}:text.stats": 750.0}
    known = wire.run(sender.send(texts, 1))

    assert (unknown.cost_us, known.cost_us) == (None, 750.0 + 2 * STEP_US)
    wire.ledger.counters = {"steps[0]|in": 10, "steps[0]|us": 200, "steps[1]|in": 10}
    warm = wire.run(sender.send(texts, 2))
    assert warm.cost_us == 20.0 + 2 * STEP_US
    wire.ledger.counters = {"steps[0]|in": 40, "steps[0]|us": 400, "steps[1]|in": 40}
    later = wire.run(sender.send(texts, 3))
    assert later.cost_us == pytest.approx((20.0 + 200 / 30) / 2 + 2 * STEP_US), "what is new counts for half"
    steady = {wire.run(sender.send(texts, base)).cost_us for base in range(4, 40)}
    assert steady == {later.cost_us}, "nothing is new"
    wire.ledger.counters = {"steps[0]|in": 50, "steps[0]|us": 400, "steps[1]|in": 50}
    last = {wire.run(sender.send(texts, base)).cost_us for base in range(40, 44)}
    assert last - steady, "it is looked up again"
    assert {spec.plan for spec, _, _ in wire.ledger.begun} == {b""}


def test_an_input_that_does_not_fit_is_an_item_that_has_failed() -> None:
    """And keeps what it was given; "stop" raises instead, with its index."""
    strict = Pipeline("p", parameters={"type": "object", "required": ["n"]}).pipe("text.stats")
    beginnings = Beginnings(planned(strict), strict.parameters)

    record = beginnings.rows("record", first=0)
    items = [ItemState.from_json(orjson.loads(record(given))) for given in ({"n": 1}, {"m": 1}, {1, 2})]

    assert [item.status for item in items] == [ItemStatus.RUNNING, ItemStatus.FAILED, ItemStatus.FAILED]
    assert items[1].failure is not None
    assert (items[1].failure.code, items[1].data) == (ErrorCode.VALIDATION_ERROR, {"m": 1})
    stop = beginnings.rows("stop", first=5)
    stop({"n": 1})
    with pytest.raises(ParamsError, match="Input 6"):
        stop({})


@pytest.mark.parametrize(
    ("pipeline", "why"),
    [
        (Pipeline("p").transform("\ud800"), "p: it cannot travel as JSON"),
        (Pipeline("p", [{"transform": "a" * 1200}] * 1000), "bytes as JSON; 1048576 are allowed"),
    ],
    ids=["no Unicode", "large"],
)
def test_what_cannot_travel_is_refused_when_it_is_submitted(
    wire: ScriptedWire, pipeline: Pipeline, why: str
) -> None:
    """Nothing is accepted, by whatever door."""
    operations = Operations(Settings())

    for begun in (operations.submit(pipeline, {}, {}), operations.start_map(pipeline, {}, "record")):
        with pytest.raises(InvalidPipelineError, match=why):
            wire.run(begun)


@pytest.mark.parametrize("levels", [129, 254, 300])
def test_an_input_that_is_nested_too_deep_is_refused_or_recorded(levels: int) -> None:
    """As what it is; one level less and it travels, with whatever is around it."""
    fits: Any = 1
    for _ in range(128):
        fits = [fits]
    deep = fits
    for _ in range(levels - 128):
        deep = [deep]
    beginnings = Beginnings(planned(LINE.transform("{{input}}")), None)
    beginnings.state(fits)

    with pytest.raises(ParamsError, match=r"nested more than 128 levels deep|Recursion limit"):
        beginnings.state(deep)
    recorded = ItemState.from_json(orjson.loads(beginnings.rows("record", first=0)(deep)))

    assert recorded.failure is not None
    assert recorded.failure.code is ErrorCode.VALIDATION_ERROR


def test_the_tree_has_every_step_where_it_was_written() -> None:
    """With what the ledger counted of it; composites and members inside."""
    forked = (
        Pipeline("forked")
        .map("data.x", ["text.stats"], name="each")
        .branch("data.size() > 0", if_true=[tool("text.stats", name="again", params={"text": "a"})])
    )
    counters = {
        "steps[0]|in": 2,
        "steps[0]|out": 2,
        "steps[0]|us": 5000,
        "steps[0].steps[0]|in": 7,
        "steps[0].steps[0]|out": 6,
        "steps[0].steps[0]|failed": 1,
        "steps[1].if_true[0]|in": 1,
        "steps[1].if_true[0]|skipped": 1,
    }

    tree = tree_of(planned(forked).plan, counters, job_record(state=JobState.RUNNING, accepted=2))

    each, branch = tree.steps
    assert [step.path for step in tree.walk()] == [
        "steps[0]",
        "steps[0].steps[0]",
        "steps[1]",
        "steps[1].if_true[0]",
    ]
    assert (each.entered, each.total_ms, each.mean_ms, each.state) == (2, 5.0, 2.5, "running")
    assert each.bodies["steps"][0].state == "failed"
    assert (branch.state, branch.bodies["if_true"][0].tool) == ("waiting", "text.stats")
    assert branch.bodies["if_true"][0].mean_ms == 0.0
    assert orjson.loads(orjson.dumps(tree.to_dict()))["steps"][0]["bodies"]["steps"][0]["failed"] == 1


@pytest.mark.parametrize(
    ("fuse", "states"),
    [
        (False, ["done", "running", "running", "waiting", "waiting"]),
        (True, ["done", "running", "waiting", "waiting", "running"]),  # nobody knows which arm, nor how far
    ],
)
def test_the_tree_of_one_item_says_where_it_is(*, fuse: bool, states: list[str]) -> None:
    """From the stage that its flow is at; of steps behind it from the counters."""
    stats = {"text": "a"}
    arms = {key: [tool("text.stats", params=stats)] for key in ("if_true", "if_false")}
    pipeline = (
        Pipeline("long")
        .pipe("text.stats", params=stats)
        .branch("true", if_true=arms["if_true"], if_false=arms["if_false"])
        .pipe("text.stats", params=stats)
    )
    found = planned(pipeline, fuse=fuse)
    code = found.programs[0].code
    [stage] = [
        stage.name
        for stage in found.stages
        if "steps[1].if_true[0]" in {one.path for one in code[stage.first : stage.last + 1]}
    ]
    counters = {"steps[0]|in": 1, "steps[0]|out": 1, "steps[1]|in": 1, "steps[1]|out": 1}
    record = job_record(state=JobState.RUNNING, accepted=1)

    tree = tree_of(found.plan, counters, record, at=found.paths_at(0, stage))

    assert [step.path for step in tree.walk()][2:4] == ["steps[1].if_true[0]", "steps[1].if_false[0]"]
    assert [step.state for step in tree.walk()] == states
    assert found.paths_at(0, "u3") == found.paths_at(7, "0") == frozenset()


def test_a_step_that_is_sent_has_its_queue_and_row() -> None:
    """As the canvas needs them."""
    assert planned().steps_from(0) == [FlowStep(stage="0", queue="penstock.default", label="text.stats")]
    assert planned().plan.tools[0].pure is Traits(idempotent=True).idempotent
