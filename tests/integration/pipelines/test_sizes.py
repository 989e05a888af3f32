"""Long pipelines, wide fan-outs and large items."""

from __future__ import annotations

from typing import Any

from penstock_plugins.pipelines.model import Pipeline
from tests.support.pipelines.running import Line


def pipeline(*steps: dict[str, Any]) -> Pipeline:
    """A pipeline of these steps."""
    return Pipeline.from_dict({"name": "sizes", "steps": list(steps)})


def test_L6_two_hundred_steps_are_two_hundred_tasks(line: Line) -> None:
    """One after the other, without fusing."""
    steps = pipeline(*({"tool": "lab.echo", "params": {"n": "{{data.n}}"}} for _ in range(200)))

    results = line.run(steps, [{"n": n} for n in range(5)], fuse=False)

    assert [one.data for one in results] == [{"n": n} for n in range(5)]
    assert all(len(one.trace or ()) == 200 for one in results)


def test_L6_a_fan_out_of_ten_thousand_is_gathered_in_order(line: Line) -> None:
    """Members travel many to a flow; one that is filtered is left out."""
    steps = pipeline(
        {
            "map": "data",
            "steps": [
                {"tool": "lab.echo", "params": {"n": "{{item}}", "i": "{{index}}"}},
                {"filter": "data.n != 5"},
                {"transform": "{{data.i}}"},
            ],
        },
    )

    [result] = line.results(line.begin(steps, [list(range(10_000))]), wait_s=120)

    assert result.error is None, result.error
    assert result.data == [n for n in range(10_000) if n != 5]
    assert len((result.trace or [])[0]["members"]) == 10_000


def test_large_items_travel_beside_their_flow(line: Line) -> None:
    """Params of inline and of inner calls, results, items between stages and members of a fan-out."""
    text = "word " * 120_000
    stats = {"tool": "text.stats", "params": {"text": "{{data.text}}"}, "output": "{{input}}"}
    steps = pipeline(
        stats,
        stats | {"retry": {"max_attempts": 2}},
        {
            "parallel": {
                "a": [stats, {"transform": {"text": "{{input.text}}"}}],
                "b": [{"transform": "{{data.n}}"}],
            }
        },
        {"transform": {"text": "{{data.a.text}}", "n": "{{data.b}}"}},
    )

    results = line.run(steps, [{"n": n, "text": text} for n in range(3)], fuse=False)

    assert [one.error for one in results] == [None] * 3
    assert [one.data for one in results] == [{"n": n, "text": text} for n in range(3)]


def test_an_item_that_cannot_be_written_down_fails_alone(line: Line) -> None:
    """Nested deeper than JSON's writer goes; the others go on."""
    deep: Any = 1
    for _ in range(120):
        deep = {"d": deep}
    steps = pipeline(
        {"transform": {"d": "{{data}}"}, "when": "data.deep"},
        *({"transform": {"a": {"b": "{{data}}"}}, "when": "true"} for _ in range(80)),
        {"tool": "witness.keyed", "params": {"n": 1, "key": "d"}, "output": "{{data}}"},
    )

    results = line.run(steps, [{"deep": False}, {"deep": True, "deeper": deep}])

    assert results[0].error is None
    assert results[1].error is not None
    assert results[1].error.code in {"PIPELINE_ERROR", "VALIDATION_ERROR"}
