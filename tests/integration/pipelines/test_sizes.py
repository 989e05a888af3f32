"""Long pipelines, wide fan-outs and large items."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

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


@pytest.mark.parametrize("fuse", [True, False])
def test_L2_items_of_a_large_flow_end_in_their_own_ways(line: Line, fuse: bool) -> None:
    """Some go on, some fail, some are filtered or stop, in the first stage and in the last."""
    steps = pipeline(
        {"tool": "toy.odd", "params": {"n": "{{data.n}}"}, "name": "first"},
        {"catch": [{"filter": "input.n % 2 == 0"}], "when": "input.n % 5 == 0"},
        {"transform": {"n": "{{input.n}}"}, "stop_when": "input.n % 7 == 0"},
        {"tool": "witness.keyed", "params": {"n": 1, "key": "k{{input.n}}"}, "output": "{{data}}"},
        {"tool": "toy.add", "params": {"n": "{{data.n}}"}},
        {"filter": "data.n % 4 != 0"},
    )
    numbers = [n % 30 for n in range(300)]

    run = line.begin(steps, [{"n": n} for n in numbers], fuse=fuse, chunk=300)
    results = line.results(run)
    figures = line.ledger.steps(run)

    def expected(n: int) -> tuple[bool, Any]:
        if n % 3 == 0 and (n % 5 or n % 2):
            return n % 5 == 0, None  # filtered in the handler, or failed
        stops = n % 7 == 0
        return (False, {"n": n}) if stops else (n % 4 == 3, None if n % 4 == 3 else {"n": n + 1})

    assert [(one.filtered, one.data) for one in results] == [expected(n) for n in numbers]
    entries = Counter(entry["step"] for one in results for entry in one.trace or ())
    assert {path: figures[f"{path}|in"] for path in entries if f"{path}|skipped" not in figures} == {
        path: count for path, count in entries.items() if f"{path}|skipped" not in figures
    }
    assert figures["steps[0]|failed"] == sum(n % 3 == 0 for n in numbers)
    assert sum(one.error is not None for one in results) == line.job(run).failed


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


#: Steps that make what they are given deeper, and what the failure says.
_DEEPER: dict[str, tuple[dict[str, Any], str]] = {
    "template": ({"transform": {"a": {"b": "{{data}}"}}}, "it is nested more than 128 levels deep"),
    "expression": ({"transform": "{{[[data, `1`]]}}"}, "it is nested more than 128 levels deep"),
    "params": (
        {"tool": "lab.echo", "params": {"n": {"b": "{{data}}"}}},
        "The guest's output is nested more than 128 levels deep",
    ),
    "elements": (
        {"map": "[[[data]]]", "steps": [{"filter": "true"}]},
        "it is nested more than 128 levels deep",
    ),
    "members": (
        {"parallel": {"a": [{"filter": "true"}], "b": [{"filter": "false"}]}},
        "what its members gave is nested more than 128 levels deep",
    ),
}


@pytest.mark.parametrize(("deeper", "why"), _DEEPER.values(), ids=_DEEPER)
def test_L2_data_that_is_nested_too_deep_is_the_failure_of_the_step_that_made_it(
    line: Line, deeper: dict[str, Any], why: str
) -> None:
    """At the same step, fused or not; it can be caught, and the others go on."""
    deep: Any = 1
    for _ in range(123):
        deep = [deep]
    echo = {"tool": "lab.echo", "params": {"n": 1}, "output": "{{data}}"}
    handler = {"transform": {"step": "{{error.step}}", "message": "{{error.message}}"}}
    steps = pipeline({"transform": "{{input.it}}"}, *[deeper, echo] * 7, {"catch": [handler]})
    inputs = [{"it": deep}, {"it": 1}]

    fused, single = (line.run(steps, inputs, fuse=fuse) for fuse in (True, False))

    assert why in fused[0].data["message"]
    assert fused[0].data["step"].startswith("steps[")
    assert fused[1].data == single[1].data != fused[0].data
    assert [one.data for one in fused] == [one.data for one in single]
    assert [_timeless(one.trace) for one in fused] == [_timeless(one.trace) for one in single]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(part) for key, part in value.items() if key != "duration_ms"}
    return [_timeless(part) for part in value] if isinstance(value, list) else value
