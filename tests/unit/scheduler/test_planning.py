"""Plans: what a pipeline names is pinned, for composites inside of it as well; stages as they are sent."""

from __future__ import annotations

import pytest

from penstock_broker_config.queues import DEFAULT, pool_queue
from penstock_plugins.bundle import bundle_from
from penstock_plugins.composites import composite_tools, composites_in
from penstock_plugins.errors import InvalidPipelineError, LoopLimitError
from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.builder import Pipeline
from penstock_plugins.pipelines.plan import Plan
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool, Traits
from penstock_scheduler.planning import Planned, make_plan
from penstock_scheduler.submission import choose_queue

PURE, ONCE = Traits(idempotent=True), Traits()


def plugin(name: str, version: str = "1.0.0", *, wasm: str = "", **tools: Traits) -> PluginRecord:
    """A published plugin."""
    manifest = f'name = "{name}"\nversion = "{version}"\n[wasm]\n{wasm}\n'
    bundle = bundle_from({"plugin.toml": manifest.encode(), "plugin.wasm": b"none"})
    made = tuple(Tool(name=t, plugin=name, version=version, traits=traits) for t, traits in tools.items())
    return PluginRecord(digest=bundle.digest, manifest=bundle.manifest, tools=made, files=bundle.entries)


def composite(name: str, steps: str, version: str = "1.0.0") -> PluginRecord:
    """A published plugin of one composite tool `run`."""
    manifest = f'name = "{name}"\nversion = "{version}"\n[composite]\nfiles = ["run.yaml"]\n'
    text = f"name: run\nparameters: {{type: object}}\nsteps: {steps}\n"
    bundle = bundle_from({"plugin.toml": manifest.encode(), "run.yaml": text.encode()})
    pipelines, problems = composites_in(bundle)
    assert problems == []
    return PluginRecord(
        digest=bundle.digest,
        manifest=bundle.manifest,
        tools=tuple(composite_tools(bundle, pipelines, lambda _: PURE)),
        files=bundle.entries,
        pipelines={name: one.to_dict() for name, one in pipelines.items()},
    )


def plan_of(
    pipeline: Pipeline, *records: PluginRecord, asked: str | None = None, fuse: bool = True
) -> Planned:
    """The plan of a pipeline with these plugins."""
    return make_plan(pipeline, ToolIndex(records), lambda pool: choose_queue(asked, pool), fuse=fuse)


def test_L6_each_name_is_pinned_to_the_bundle_that_it_means_now() -> None:
    """With a version and without; a tool that is named in two ways is there once."""
    old, new = plugin("text", "1.0.0", a=PURE), plugin("text", "1.1.0", a=PURE)

    plan = plan_of(Pipeline("p").pipe("text.a").pipe("text@1.0.0.a").pipe("text@1.1.0.a"), old, new).plan

    assert [plan.tools[int(plan.names[name])].digest for name in ("text.a", "text@1.0.0.a")] == [
        new.digest,
        old.digest,
    ]
    assert len(plan.tools) == 2
    assert plan.bundles == (new.digest, old.digest)
    assert Plan.from_json(plan.to_json()).digest == plan.digest


def test_composites_are_pinned_with_what_they_call() -> None:
    """Through each other."""
    records = (
        plugin("text", a=PURE),
        composite("inner", "[{tool: text.a}]"),
        composite("outer", "[{tool: inner.run}, {tool: text.a}]"),
    )

    found = plan_of(Pipeline("p").pipe("outer.run"), *records)

    assert found.plan.names == {"outer.run": "outer.run", "inner.run": "inner.run", "text.a": 0}
    assert found.stages[0].label == "text.a"


def test_two_versions_of_a_composite_are_two_composites() -> None:
    """Each with the steps that it had."""
    records = (
        plugin("text", a=PURE, b=PURE),
        composite("c", "[{tool: text.a}]", "1.0.0"),
        composite("c", "[{tool: text.b}]", "2.0.0"),
    )

    plan = plan_of(Pipeline("p").pipe("c.run").pipe("c@1.0.0.run"), *records).plan

    assert dict(plan.names) | {"c.run": "c.run", "c@1.0.0.run": "c@1.0.0.run"} == plan.names
    assert sorted(tool.name for tool in plan.tools) == ["text.a", "text.b"]


def test_X2_composites_that_call_each_other_are_refused() -> None:
    """Whatever they said when they were published."""
    records = (composite("a", "[{tool: b.run}]"), composite("b", "[{tool: a.run}]"))

    with pytest.raises(LoopLimitError):
        plan_of(Pipeline("p").pipe("a.run"), *records)


def test_all_problems_are_said_at_once() -> None:
    """Those of a composite that it calls with the composite's name."""
    with pytest.raises(InvalidPipelineError) as caught:
        plan_of(Pipeline("p").pipe("x.y").filter("nothing.there"), plugin("text", a=PURE))
    with pytest.raises(InvalidPipelineError, match=r"^c\.run: "):
        plan_of(Pipeline("p").pipe("c.run"), composite("c", "[{tool: gone.tool}]"))

    assert len(caught.value.problems) == 2


def test_calls_go_to_the_pool_of_their_plugin_unless_told_otherwise() -> None:
    """What is no call goes to the default queue."""
    records = (plugin("net", wasm='pool = "network"', get=ONCE), plugin("text", a=PURE))
    pipeline = Pipeline("p").pipe("net.get").pipe("text.a")

    assert [stage.queue for stage in plan_of(pipeline, *records).stages][:2] == [
        pool_queue("network"),
        DEFAULT,
    ]
    asked = plan_of(pipeline, *records, asked="high")
    assert {stage.queue for stage in asked.stages} == {"penstock.high"}
    assert asked.plan.queue == "penstock.high"


def test_L6_the_chain_ends_where_nobody_can_foresee_the_rest() -> None:
    """At a branch or a fan-out; pure calls are one task unless they must not be fused."""
    records = (plugin("text", a=PURE, b=PURE), plugin("net", get=ONCE))
    line = Pipeline("p").pipe("text.a").pipe("text.b").pipe("net.get")
    forked = Pipeline("p").pipe("text.a").map("data.x", "text.b").pipe("net.get", params={})

    assert [step.label for step in plan_of(line, *records).steps_from(0)] == ["p:text.a+text.b", "net.get"]
    shown = plan_of(line, *records, fuse=False).steps_from(0)
    assert [step.label for step in shown][:3] == ["text.a", "text.b", "net.get"]
    assert [step.label for step in plan_of(forked, *records).steps_from(0)] == ["text.a", "p:map"]
