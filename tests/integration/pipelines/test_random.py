"""Random pipelines on real workers end as the reference interpreter says (L-2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan
from penstock_plugins.result import ToolResult
from tests.support.pipelines.reference import Reference
from tests.support.pipelines.reference_values import Failed
from tests.support.pipelines.running import Line
from tests.support.pipelines.shapes import shape_of
from tests.support.pipelines.strategies import COMPOSITES, INPUTS, pipelines, plan_of, toy

#: Runs that are begun together.
_AT_ONCE = 12
#: A pipeline, its inputs, whether steps are fused, whether its calls are inline.
RUNS = st.tuples(
    pipelines(), st.lists(INPUTS, min_size=1, max_size=4), st.booleans(), st.sampled_from([True, True, False])
)


def expected(pipeline: Pipeline, given_: Any) -> tuple[Any, ...]:
    """What the reference says of an item, what is undone, and what became of each step."""

    def call(tool: str, params: Any) -> Any:
        found, failure = toy(tool, params)
        if failure is not None:
            raise Failed(failure.code.value)
        return found

    reference = Reference(call, COMPOSITES)
    return reference.run(pipeline, given_), reference.undone, reference.trace


def ended(result: ToolResult) -> tuple[Any, ...]:
    """What came of an item, what was undone, and what its trace says of each step."""
    trace = result.trace or []
    undone = [(e["step"], e["tool"], e["params"]) for e in trace if e["type"] == "compensate"]
    came_to: tuple[str, Any] = ("filtered", None) if result.filtered else ("ok", result.data)
    if result.error is not None:
        came_to = "failed", result.error.code.value
    return came_to, undone, shape_of(trace)


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(drawn=st.data())
def test_L2_random_pipelines_end_on_workers_as_the_reference_says(line: Line, drawn: st.DataObject) -> None:
    """Fused and step by step, inline and as inner jobs, several items to a flow."""
    runs = [drawn.draw(RUNS) for _ in range(_AT_ONCE)]
    digest = next(r.digest for r in RedisCatalog(line.client, Keys()).records() if r.name == "toy")

    def pinned(pipeline: Pipeline, fuse: bool, pure: bool) -> Plan:
        plan = plan_of(pipeline, fuse=fuse, pure=pure)
        return replace(plan, tools=tuple(replace(tool, digest=digest) for tool in plan.tools))

    begun = [line.begin(pinned(p, fuse, pure), inputs, chunk=3) for p, inputs, fuse, pure in runs]

    for run, (pipeline, inputs, fuse, pure) in zip(begun, runs, strict=True):
        found = [ended(result) for result in line.results(run)]
        assert found == [expected(pipeline, one) for one in inputs], (pipeline.to_dict(), fuse, pure)
