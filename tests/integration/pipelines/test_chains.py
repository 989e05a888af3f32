"""Steps in order on a real worker: fused, one by one, and through inner jobs."""

from __future__ import annotations

from typing import Any

from penstock_plugins.pipelines.model import Pipeline
from tests.support.pipelines.running import Line

STEPS: list[dict[str, Any]] = [
    {"transform": {"text": "{{input.title}} and more"}},
    {"tool": "text.slug", "name": "slug"},
    {"transform": {"text": "{{data.slug}}"}},
    {"tool": "text.stats", "output": {"slug": "{{steps.slug.data.slug}}", "words": "{{result.data.words}}"}},
    {"filter": "data.words > 0"},
]


def pipeline(*steps: dict[str, Any], name: str = "p") -> Pipeline:
    """A pipeline of these steps."""
    return Pipeline.from_dict({"name": name, "steps": list(steps)})


def without_times(trace: Any) -> Any:
    """A trace without its durations."""
    if isinstance(trace, dict):
        return {key: without_times(value) for key, value in trace.items() if key != "duration_ms"}
    if isinstance(trace, list):
        return [without_times(value) for value in trace]
    return trace


def test_L6_a_chain_of_five_steps_gives_the_same_fused_and_step_by_step(line: Line) -> None:
    """Results and traces are the same; durations are not."""
    inputs = [{"title": f"Title {n}"} for n in range(30)]

    fused = line.run(pipeline(*STEPS), inputs, chunk=10)
    single = line.run(pipeline(*STEPS), inputs, chunk=10, fuse=False)

    assert fused[3].data == {"slug": "title-3-and-more", "words": 1}
    assert [one.data for one in fused] == [one.data for one in single]
    assert [without_times(one.trace) for one in fused] == [without_times(one.trace) for one in single]
    assert [entry["type"] for entry in fused[0].trace or ()] == [
        "transform",
        "tool",
        "transform",
        "tool",
        "filter",
    ]
