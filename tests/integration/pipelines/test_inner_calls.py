"""Calls inside of pipelines are tried again, limited, grouped and started once as they are outside."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from penstock_broker_config.ledger import LimitChange
from penstock_plugins.pipelines.model import Pipeline
from tests.chaos.witness import FAILED_ATTEMPTS, lines_of
from tests.support.pipelines.running import Line


def pipeline(*steps: dict[str, Any]) -> Pipeline:
    """A pipeline of these steps."""
    return Pipeline.from_dict({"name": "inner", "steps": list(steps)})


def begun(line: Line, tag: str) -> Counter[int]:
    """How often the call of each item was begun, of those with this tag."""
    seen: Counter[int] = Counter()
    for one in lines_of(line.log):
        if one["level"] == "info":
            params = json.loads(one["message"])
            if params.get("tag") == tag:
                seen[params["n"]] += 1
    return seen


def test_E2_a_rate_limit_inside_of_a_pipeline_is_tried_again_and_then_caught(line: Line) -> None:
    """Waiting happens in the queue; the flow goes on by itself."""
    steps = pipeline(
        {"tool": "witness.failed", "params": {"n": "{{input.n}}", "tag": "rate"}},
        {"catch": [{"transform": {"code": "{{error.code}}", "n": "{{input.n}}"}}]},
        {"tool": "lab.echo"},
    )

    results = line.run(steps, [{"n": n} for n in range(3)])

    assert [one.data for one in results] == [{"code": "RATE_LIMIT", "n": n} for n in range(3)]
    assert begun(line, "rate") == dict.fromkeys(range(3), FAILED_ATTEMPTS)


def test_E2_a_step_has_a_rule_of_its_own(line: Line) -> None:
    """Instead of that of its tool."""
    rule = {"max_attempts": 2, "base_ms": 10}
    failing = {"tool": "witness.failed", "params": {"n": "{{input.n}}", "tag": "rule"}, "retry": rule}

    [result] = line.run(pipeline(failing), [{"n": 1}])

    assert result.error is not None
    assert result.error.code == "RATE_LIMIT"
    assert (result.error.details or {})["step"] == "steps[0]"
    assert begun(line, "rule") == {1: 2}


def test_B2_a_tool_with_a_limit_goes_on_when_its_slots_are_free(line: Line) -> None:
    """Four flows, two slots; and a key that groups calls of all flows."""
    steps = pipeline(
        {"tool": "witness.limited", "params": {"n": "{{input.n}}", "key": "p", "tag": "limited"}},
        {"tool": "witness.keyed", "params": {"n": "{{data.n}}", "key": "p", "tag": "keyed"}},
        {"transform": "{{data.n}}"},
    )

    results = line.run(steps, [{"n": n} for n in range(8)], chunk=2)

    assert [one.data for one in results] == list(range(8))
    for tag in ("limited", "keyed"):
        assert set(begun(line, tag).values()) == {1}


def test_B2_a_limit_that_the_operator_sets_holds_for_fused_steps_too(line: Line) -> None:
    """They go through inner jobs while it is set."""
    echo = pipeline({"tool": "lab.echo"}, {"tool": "text.slug", "params": {"text": "{{input.text}}"}})
    line.ledger.change_limit("tool:text.slug", LimitChange(concurrency=1))
    try:
        results = line.run(echo, [{"text": f"A {n}"} for n in range(6)], chunk=2)
    finally:
        line.ledger.clear_limit("tool:text.slug")

    assert [one.data for one in results] == [{"slug": f"a-{n}"} for n in range(6)]


def test_E4_what_may_be_started_once_only_is_undone_once(line: Line) -> None:
    """The last step first, and each by a call of its own."""
    steps = pipeline(
        *(
            {
                "tool": "witness.once",
                "params": {"n": "{{input.n}}", "tag": f"do{number}"},
                "compensate": {
                    "tool": "witness.once",
                    "params": {"n": "{{result.data.n}}", "tag": f"undo{number}"},
                },
            }
            for number in range(3)
        ),
        {"tool": "lab.shaky", "params": {"n": "{{input.n}}"}},
    )

    results = line.run(steps, [{"n": n} for n in range(4)])

    for result in results:
        assert result.error is not None
        assert result.error.code == "NOT_FOUND"
        assert (result.error.details or {})["undone"] == ["steps[2]", "steps[1]", "steps[0]"]
        assert [e["params"]["tag"] for e in result.trace or () if e["type"] == "compensate"] == [
            "undo2",
            "undo1",
            "undo0",
        ]
    for number in range(3):
        assert begun(line, f"undo{number}") == dict.fromkeys(range(4), 1)


def test_L2_what_led_to_a_result_that_json_cannot_hold_is_undone(line: Line) -> None:
    """Also where nobody would have read the item again before its end."""
    done = {"tool": "lab.once-only", "params": {}, "compensate": {"tool": "lab.echo", "params": {}}}
    deeper = [{"transform": {"in": "{{data}}"}}] * 260

    [result] = line.run(pipeline(done, *deeper), [{}])

    assert result.error is not None
    assert result.error.code == "PIPELINE_ERROR"
    assert (result.error.details or {})["undone"] == ["steps[0]"]
