"""What a pipeline is: shapes that are read strictly, and what only the whole can tell."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from penstock_plugins.errors import InvalidPipelineError
from penstock_plugins.pipelines import builder
from penstock_plugins.pipelines.model import MAX_NESTING, MAX_STEPS, Pipeline, ToolStep, walk

EVERY_KIND: dict[str, Any] = {
    "name": "docs",
    "description": "Everything that there is.",
    "version": "1.2.0",
    "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
    "steps": [
        {
            "tool": "markdown.to_html",
            "name": "html",
            "params": {"text": "{{input.text}}"},
            "output": {"html": "{{result.data}}"},
            "when": "input.text.size() > 0",
            "stop_when": "data.html == ''",
            "continue_on_error": True,
            "default": None,
            "timeout_s": 2.5,
            "retry": {"max_attempts": 2},
            "compensate": {"tool": "fs.remove", "params": {"path": "{{result.data.path}}"}},
        },
        {"transform": ["{{data}}", 1, None]},
        {"filter": "data.size() > 0"},
        {"branch": "data[1] == 1", "if_true": [{"tool": "a.b"}], "if_false": [{"transform": {}}]},
        {"map": "data", "steps": [{"transform": "{{item}}"}]},
        {"parallel": {"one": [{"tool": "a.b"}], "two": [{"tool": "c.d"}]}},
        {"catch": [{"transform": "{{error.message}}"}]},
    ],
}


def problems_of(shape: Any) -> list[str]:
    """What is wrong with it."""
    with pytest.raises(InvalidPipelineError) as refused:
        Pipeline.from_dict(shape)
    return list(refused.value.problems)


def test_L1_L2_every_kind_of_step_is_read_and_written_as_it_stands_in_a_file() -> None:
    """The shape in Python is the shape in JSON."""
    assert Pipeline.from_dict(EVERY_KIND).to_dict() == EVERY_KIND


def test_L1_a_default_of_null_is_a_value_and_none_is_none() -> None:
    """What the data becomes after a failure, and that it stays."""
    given, left_out = ToolStep(tool="a.b", default=None), ToolStep(tool="a.b")

    assert (given.has_default, left_out.has_default) == (True, False)
    assert "default" in given.to_dict()
    assert "default" not in left_out.to_dict()


def test_L1_the_whole_result_as_output_is_what_is_done_without_one() -> None:
    """Both spellings are one pipeline."""
    assert ToolStep(tool="a.b", output="result").to_dict() == {"tool": "a.b"}


def test_the_digest_depends_on_what_is_said_and_not_on_how() -> None:
    """Order of keys and defaults written out change nothing."""
    plain = Pipeline.from_dict({"name": "p", "steps": [{"tool": "a.b", "params": {"x": 1, "y": 2}}]})
    written_out = Pipeline.from_dict(
        {
            "steps": [{"params": {"y": 2, "x": 1}, "tool": "a.b", "continue_on_error": False}],
            "version": "0.0.0",
            "name": "p",
        }
    )
    other = Pipeline.from_dict({"name": "p", "steps": [{"tool": "a.b", "default": None}]})

    assert plain.digest() == written_out.digest()
    assert plain.digest() != other.digest()


def test_all_problems_are_said_at_once_each_with_its_step() -> None:
    """The key, the step's name or tool, and what to write instead."""
    found = problems_of(
        {
            "name": "9",
            "stps": [],
            "steps": [
                {"tool": 1},
                {"tool": "a.b", "parms": {}},
                {"filter": "x", "tool": "a.b"},
                {"nothing": 1},
                "a.b",
                {"branch": "x", "if_true": [{"tool": "c.d", "name": "inner", "timeout_s": "long"}]},
                {"tool": "a.b", "compensate": {"tol": "x"}},
                {"parallel": {"a-b": []}},
                {"tool": "a.b", "params": "text"},
                {"map": "data"},
            ],
        }
    )

    assert [problem.partition(" (")[0].partition(":")[0] for problem in found] == [
        "name",
        "steps[0].tool",
        "steps[1].parms",
        "steps[2]",
        "steps[3]",
        "steps[4]",
        "steps[5].if_true[0].timeout_s",
        "steps[6].compensate.tool",
        "steps[6].compensate.params",
        "steps[6].compensate.tol",
        "steps[7].parallel.a-b",
        "steps[8].params",
        "steps[9].steps",
        "stps",
    ]
    assert "steps[1].parms (a.b): no such key; did you mean params?" in found
    assert "steps[5].if_true[0].timeout_s (inner): must be a number" in found
    assert "stps: no such key; did you mean steps?" in found


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"tol": "a.b"}, "steps[0]: {kinds}; did you mean tool for tol?"),
        ({"tool": "a.b", "filter": "true"}, "steps[0] (a.b): {kinds}; this one has tool and filter"),
        ({"name": "x", "if": "true"}, "steps[0] (x): {kinds}; this one has name, if"),
        ({}, "steps[0]: {kinds}"),
        (
            {"tool": "a.b", "retry": {"attempts": 2}},
            "steps[0].retry.attempts (a.b): no such key; did you mean max_attempts?",
        ),
        (
            {"tool": "a.b", "retry": {"x": 1}},
            "steps[0].retry.x (a.b): no such key; there are max_attempts, base_ms, cap_ms",
        ),
    ],
)
def test_a_key_that_is_not_there_is_answered_with_those_that_are(step: dict[str, object], why: str) -> None:
    """Of the table that it stands in, and the nearest one where it looks like one."""
    kinds = "a step has exactly one of the keys tool, transform, filter, branch, catch, map, parallel"

    assert problems_of({"name": "a", "steps": [step]}) == [why.format(kinds=kinds)]


@pytest.mark.parametrize("key", ["name", "when", "stop_when", "timeout_s", "retry", "compensate"])
def test_a_key_whose_value_was_forgotten_is_not_left_out(key: str) -> None:
    """A step that has an empty `when` would always run, and one with an empty `compensate` stay done."""
    [problem] = problems_of({"name": "a", "steps": [{"tool": "a.b", key: None}]})

    assert problem.startswith(f"steps[0].{key} (a.b): ")
    assert "it is empty: write what it is, or leave the key out" in problem


def test_python_may_say_none_of_what_it_leaves_out() -> None:
    """As of any argument that has a default; a null that is a value stays one."""
    nothing: dict[str, Any] = {"when": None, "compensate": None}
    left_out = builder.Pipeline("a").pipe("a.b", **nothing)
    shape = {"tool": "a.b", "continue_on_error": True, "default": None}

    assert left_out.to_dict() == {"name": "a", "steps": [{"tool": "a.b"}]}
    assert Pipeline.from_dict({"name": "a", "steps": [shape]}).to_dict()["steps"] == [shape]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (print, "a Python function cannot travel"),
        ({"a": [lambda: 1]}, r"a\[0\]: a Python function cannot travel"),
        (float("nan"), "no infinity and no NaN"),
        (2**65, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        ({1: 2}, "the key 1 is no text"),
        ({"a": object()}, "a: object is no JSON value"),
        (b"x", "bytes is no JSON value"),
    ],
)
def test_L2_what_is_no_json_is_refused(value: Any, why: str) -> None:
    """Data only: no Python function travels."""
    with pytest.raises(InvalidPipelineError, match=why):
        Pipeline.from_dict({"name": "p", "steps": [{"transform": value}]})


def test_a_pipeline_does_not_change_with_what_it_was_made_of() -> None:
    """It has a copy."""
    params = {"list": [1]}
    step = ToolStep(tool="a.b", params=params)

    params["list"].append(2)

    assert step.params == {"list": [1]}


def test_names_are_unique_in_their_frame() -> None:
    """Members of a fan-out have frames of their own; arms and handlers do not."""
    twice = [{"tool": "a.b", "name": "x"}, {"branch": "true", "if_true": [{"tool": "a.b", "name": "x"}]}]
    apart = [{"tool": "a.b", "name": "x"}, {"map": "data", "steps": [{"tool": "a.b", "name": "x"}]}]

    assert problems_of({"name": "p", "steps": twice}) == [
        "steps[1].if_true[0] (x): another step has this name"
    ]
    assert len(Pipeline.from_dict({"name": "p", "steps": apart}).steps) == 2


def test_steps_are_counted_with_those_inside_of_others() -> None:
    """As many as are allowed, and one more."""
    inner = [{"tool": "a.b"}] * (MAX_STEPS - 1)
    most = {"name": "p", "steps": [{"map": "data", "steps": inner}]}

    assert len(list(walk(Pipeline.from_dict(most).steps))) == MAX_STEPS
    most["steps"].append({"tool": "a.b"})  # type: ignore[attr-defined]
    assert problems_of(most) == [f"steps: there are more than {MAX_STEPS} steps in all"]


def nested(depth: int) -> dict[str, Any]:
    """Branches inside each other."""
    steps: list[Any] = [{"tool": "a.b"}]
    for _ in range(depth - 1):
        steps = [{"branch": "true", "if_true": steps}]
    return {"name": "p", "steps": steps}


def test_sequences_are_not_inside_each_other_without_end() -> None:
    """Neither too deep, nor so deep that reading them would be a danger."""
    assert len(list(walk(Pipeline.from_dict(nested(MAX_NESTING)).steps))) == MAX_NESTING
    assert "nested more than 16 deep" in problems_of(nested(MAX_NESTING + 1))[0]
    assert "nested more than" in problems_of(nested(sys.getrecursionlimit() * 2))[0]


@pytest.mark.parametrize(
    "shape",
    [
        {"name": "p", "steps": [{"transform": "x" * (1024 * 1024)}]},
        {"name": "p", "steps": [{"filter": "x" * 1001}]},
        {"name": "p", "steps": [{"transform": "\ud800"}]},
        {"name": "p", "steps": [], "parameters": {"type": "string"}},
        {"name": "p", "steps": [], "version": "one"},
        {"name": "p", "steps": [{"tool": "a.b", "name": "in"}]},
        {"name": "p", "steps": {}},
        {"name": "p"},
        {},
        [],
        None,
        "p",
    ],
)
def test_what_cannot_be_used_is_refused(shape: Any) -> None:
    """With our own error, whatever it is."""
    assert problems_of(shape)
