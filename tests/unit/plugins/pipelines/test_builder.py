"""Pipelines written in Python: the same data as in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock import InvalidPipelineError, Pipeline, step, tool


def test_L2_python_says_what_a_file_says() -> None:
    """Every method, and each way to write a body."""
    made = (
        Pipeline("docs", description="All of it.")
        .pipe("markdown.to_html", params={"text": "{{input.text}}"}, name="html", timeout_s=2)
        .filter("data.size > 0")
        .transform({"html": "{{data}}"}, when="true")
        .branch("data.html == ''", if_true="a.b", if_false=[tool("c.d"), {"tool": "e.f"}])
        .catch(step(transform=None))
        .parallel(html="markdown.to_html", outline=Pipeline("o").pipe("code.outline"))
        .parallel({"name": "a.b"}, stop_when="true")
        .map("data.files", tool("fs.write", params="{{item}}"), name="written")
        .pipe("fs.write")
        .compensate("fs.remove", params={"path": "{{result.data.path}}"})
    )

    assert made.to_dict() == {
        "name": "docs",
        "description": "All of it.",
        "steps": [
            {
                "tool": "markdown.to_html",
                "params": {"text": "{{input.text}}"},
                "name": "html",
                "timeout_s": 2,
            },
            {"filter": "data.size > 0"},
            {"transform": {"html": "{{data}}"}, "when": "true"},
            {
                "branch": "data.html == ''",
                "if_true": [{"tool": "a.b"}],
                "if_false": [{"tool": "c.d"}, {"tool": "e.f"}],
            },
            {"catch": [{"transform": None}]},
            {"parallel": {"html": [{"tool": "markdown.to_html"}], "outline": [{"tool": "code.outline"}]}},
            {"parallel": {"name": [{"tool": "a.b"}]}, "stop_when": "true"},
            {"map": "data.files", "steps": [{"tool": "fs.write", "params": "{{item}}"}], "name": "written"},
            {
                "tool": "fs.write",
                "compensate": {"tool": "fs.remove", "params": {"path": "{{result.data.path}}"}},
            },
        ],
    }
    assert Pipeline.from_dict(made.to_dict()).digest() == made.digest()


def test_a_pipeline_stays_as_it_is_when_one_is_made_of_it() -> None:
    """Two can share a beginning."""
    beginning = Pipeline("p").pipe("a.b")

    one, other = beginning.pipe("c.d"), beginning.filter("true")

    assert [len(made.steps) for made in (beginning, one, other)] == [1, 2, 2]


def test_a_pipeline_that_is_read_goes_on_as_one_that_is_written() -> None:
    """It has the same methods."""
    read = Pipeline.from_dict({"name": "p", "steps": [{"tool": "a.b"}]})

    assert read.filter("true").to_dict()["steps"] == [{"tool": "a.b"}, {"filter": "true"}]


#: Of no type, so that what type checkers refuse can be tried.
P: Any = Pipeline("p")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: P.transform(lambda item: item),
        lambda: P.transform({"a": len}),
        lambda: P.filter(len),
        lambda: P.pipe(print),
        lambda: P.pipe("a.b", params={"x": print}),
        lambda: P.branch("true", if_true=print),
        lambda: P.branch("true", if_true=[print]),
        lambda: P.map("data", print),
        lambda: P.catch(print),
        lambda: P.parallel(a=print),
        lambda: step(transform=print),
    ],
)
def test_L2_python_functions_are_refused_in_words(wrong: Callable[[], Any]) -> None:
    """Wherever one may come to mind."""
    with pytest.raises(InvalidPipelineError, match="a Python function cannot travel"):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: P.pipe("a.b", parms={}), "step 1: tool: parms: no such key; did you mean params?"),
        (lambda: P.pipe("a.b", name="x").pipe("a.b", name="x"), "another step has this name"),
        (lambda: P.compensate("a.b", {}), "calls no tool"),
        (lambda: P.filter("true").compensate("a.b", {}), "calls no tool"),
        (P.parallel, "step 1: parallel"),
        (lambda: P.map("data", [Pipeline("q")]), "a pipeline is no step"),
        (lambda: P.map("data", 3), "write a pipeline, a step, or a list of steps"),
        (lambda: step(nothing=1), "exactly one of the keys"),
        (lambda: step(tool="a.b", filter="true"), "exactly one of the keys"),
        (lambda: tool(""), "must not be empty"),
        (lambda: Pipeline("9"), "must begin with a letter"),
        (lambda: Pipeline("p", nothing=1), "nothing: no such key"),
    ],
)
def test_what_cannot_be_a_step_is_refused_where_it_is_written(wrong: Callable[[], Any], why: str) -> None:
    """With the number of the step."""
    with pytest.raises(InvalidPipelineError) as refused:
        wrong()

    assert why in str(refused.value)
