"""What is said about a pipeline before it runs."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import Pipeline, Tool, step, tool
from penstock_plugins.errors import ToolNotFoundError
from penstock_plugins.pipelines.check import MAX_PROBLEMS, check

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "minLength": 2},
        "n": {"type": "integer", "maximum": 10},
        "mode": {"enum": ["fast", "slow"]},
        "options": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
    "required": ["text"],
    "additionalProperties": False,
}
COMPOSITE = Pipeline("composite", parameters=SCHEMA).pipe("t.any")
TOOLS: dict[str, Any] = {
    "t.text": Tool(name="text", plugin="t", parameters=SCHEMA),
    "t.any": Tool(name="any", plugin="t"),
    "t.composite": COMPOSITE,
    "t.pipeline": Pipeline("pipeline").pipe("t.any"),
}
P = Pipeline("p")
ANY = P.pipe("t.any")


def found_in(pipeline: Pipeline) -> list[str]:
    """What is wrong with it."""
    return [str(problem) for problem in check(pipeline, TOOLS.get)]


@pytest.mark.parametrize(
    "pipeline",
    [
        P.pipe("t.text"),
        P.pipe("t.text", params={"text": "{{input.text}}", "n": "{{data.n || `3`}}"}),
        P.pipe(
            "t.text", params={"text": "a {{input.text}}", "mode": "{{input.mode}}", "tags": ["a", "{{data}}"]}
        ),
        P.pipe("t.text", params="{{input.params}}").pipe("t.text"),
        P.transform({"text": "long", "n": "{{input.n}}"})
        .pipe("t.text")
        .pipe("t.text", params="{{results[0].data}}"),
        P.transform([1, 2]).map("data", tool("t.text", params={"text": "abc", "n": "{{item}}"})),
        ANY.pipe("t.any", name="a")
        .filter("steps.a.success && results[-1].success")
        .transform("{{steps.a.data.x}}"),
        ANY.catch(step(transform="{{error.code}} {{error.details.x || 'none'}}")).catch("t.any"),
        P.transform({"x": 1}).catch("t.any", when="error.code == 'TIMEOUT' && has(data.y)"),
        P.transform({"x": 1}).catch("t.any", when="data.y == 1", stop_when="error.step == 'steps[0]'"),
        ANY.pipe("t.any", output={"x": "{{result.data}}"}, stop_when="result.success", when="has(data.x)"),
        ANY.compensate("t.text", {"text": "{{result.data.path}}", "n": 3}),
        P.transform({"text": "abc"})
        .pipe("t.any", output={"x": 1})
        .compensate("t.text", {"text": "{{data.text}}"}),
        P.parallel(a="t.any", b=step(transform={"x": 1})).transform("{{data.b.x}} {{data.a.anything}}"),
        P.parallel(a=[step(filter="true"), step(transform={"x": 1})]).transform("{{data.a.x}}"),
        P.branch("input.x", if_true=tool("t.any", name="a")).transform("{{steps.a.data}}"),
        P.branch("true", if_true=step(transform={"x": 1}), if_false=step(transform="a")).transform(
            "{{data.x}}"
        ),
        P.pipe("t.any", continue_on_error=True, default={"x": 1}).transform("{{data.x}} {{data.y}}"),
        P.map("input", [step(transform={"x": "{{index}}"})]).transform("{{data[0].x}}"),
        P.transform({"x": 1}).filter("has(data.y) || !has(data.z)"),
        Pipeline("c", parameters=SCHEMA)
        .pipe("t.text")
        .pipe("t.composite", params={"text": "{{input.text}}"}),
        Pipeline("c", parameters={"type": "object", "properties": {"n": {"type": "number"}}}).pipe(
            "t.text", params={"text": "{{input.text}}", "n": "{{input.n}}"}
        ),
    ],
)
def test_what_may_be_right_is_let_through(pipeline: Pipeline) -> None:
    """What cannot be known before the run is not judged."""
    assert found_in(pipeline) == []


@pytest.mark.parametrize(
    ("pipeline", "problems"),
    [
        # tools
        (P.pipe("t.nothing"), ["steps[0].tool (t.nothing): Unknown tool: t.nothing"]),
        (ANY.compensate("t.gone", {}), ["steps[0].compensate.tool (t.any): Unknown tool: t.gone"]),
        (
            ANY.compensate("t.composite", {"text": "abc"}),
            ["steps[0].compensate.tool (t.any): a composite undoes nothing: name a tool"],
        ),
        (
            P.pipe("t.pipeline"),
            ["steps[0].tool (t.pipeline): t.pipeline is no tool: it is a pipeline without parameters"],
        ),
        # params that are written out
        (P.pipe("t.text", params={"text": 3}), ['steps[0].params.text (t.text): 3 is not of type "string"']),
        (P.pipe("t.text", params={"text": "a"}), ["steps[0].params.text (t.text): "]),
        (
            P.pipe("t.text", params={"n": "{{input.n}}"}),
            ['steps[0].params (t.text): "text" is a required property'],
        ),
        (
            P.pipe("t.text", params={"text": "{{input}}", "x": "{{input}}"}),
            ["steps[0].params (t.text): Additional"],
        ),
        (
            P.pipe("t.text", params={"text": "abc", "n": "{{input}} and"}),
            ["steps[0].params.n (t.text): it is of type string"],
        ),
        (P.pipe("t.text", params={"text": "abc", "mode": "quick"}), ["steps[0].params.mode (t.text): "]),
        (
            P.pipe("t.text", params={"text": "abc", "options": {"b": "{{input}}"}}),
            ["steps[0].params.options (t.text): "],
        ),
        (
            P.pipe("t.text", params={"text": "abc", "tags": ["{{input}}"] * 3}),
            ["steps[0].params.tags (t.text): "],
        ),
        (
            P.pipe("t.any").pipe(
                "t.composite", params={"text": "abc"}, timeout_s=5, retry={"max_attempts": 2}
            ),
            [
                f"steps[1].{key} (t.composite): it is for a call, and a composite is many: set it inside"
                for key in ("timeout_s", "retry")
            ],
        ),
        (P.pipe("t.composite", params={}), ['steps[0].params (t.composite): "text" is a required property']),
        (ANY.compensate("t.text", {}), ['steps[0].compensate.params (t.any): "text" is a required property']),
        # what flows from one step to the next
        (
            P.transform({"txt": "abc"}).pipe("t.text", name="x"),
            ["steps[1].params (x): ", "steps[1].params (x): "],
        ),
        (P.transform(["{{input}}"]).pipe("t.text"), ["steps[1].params (t.text): it is of type array"]),
        (
            P.transform([1, 2]).map("data", tool("t.text", params={"text": "{{item}}"})),
            ["steps[1].steps[0].params.text (t.text): it is of type integer"],
        ),
        (
            P.pipe("t.any", output={"a": "{{result.data}}"}).pipe("t.text"),
            ["steps[1].params (t.text): Additional", "steps[1].params (t.text): "],
        ),
        (
            P.parallel(a=step(transform={"x": 1})).pipe("t.text", params={"text": "{{data.a}}"}),
            ["steps[1].params.text (t.text): "],
        ),
        (P.transform("text").map("data", "t.any"), ["steps[1].map (map): data is no list: it is a string"]),
        (
            P.transform({"a": 1}).transform("{{data.b}}"),
            ["steps[1].transform (transform): there is no data.b: data has a"],
        ),
        (
            P.transform({"a": 1}).filter("data.b > 1"),
            ["steps[1].filter (filter): there is no data.b: data has a"],
        ),
        (
            P.transform({"a": 1}).transform("{{data.a.b}}"),
            ["steps[1].transform (transform): there is no data.a.b: data.a is an integer"],
        ),
        (
            P.transform([1]).transform("{{data[1]}}"),
            ["steps[1].transform (transform): there is no data[1]: data is an array"],
        ),
        (
            Pipeline("c", parameters=SCHEMA).transform("{{input.txt}}"),
            ["steps[0].transform (transform): there is no input.txt: input has mode, n, "],
        ),
        (
            ANY.transform("{{results[0].daat}}"),
            ["steps[1].transform (transform): there is no results[0].daat"],
        ),
        (
            ANY.catch("t.any", when="error.kode == 'x'"),
            ["steps[1].when (catch): there is no error.kode"],
        ),
        (
            ANY.catch(step(transform="{{error.kode}}")),
            ["steps[1].catch[0].transform (transform): there is no error.kode"],
        ),
        # names
        (
            P.transform("{{steps.later.data}}").pipe("t.any", name="later"),
            ["steps[0].transform (transform): steps.later is not there yet"],
        ),
        (
            P.pipe("t.any", name="own", when="steps.own.success"),
            ["steps[0].when (own): steps.own is not there yet"],
        ),
        (
            P.pipe("t.any", name="one").filter("steps.two.success"),
            ["steps[1].filter (filter): steps.two: there is no such step; there are one"],
        ),
        (
            P.branch("true", if_true=tool("t.any", name="a"), if_false=step(filter="steps.a.success")),
            ["steps[0].if_false[0].filter (filter): steps.a is not there yet"],
        ),
        (
            P.pipe("t.any", name="a").map("data", step(filter="steps.a.success")),
            ["steps[1].steps[0].filter (filter): steps.a: there is no such step"],
        ),
        (
            P.filter("results[0].success"),
            ["steps[0].filter (filter): results[0] is not there: no steps of this sequence came before"],
        ),
        (
            ANY.branch("true", if_true=step(transform="{{results[0]}}")),
            ["steps[1].if_true[0].transform (transform): results[0] is not there"],
        ),
        (
            ANY.filter("error.code == 'x' || true"),
            ["steps[1].filter (filter): error is there only in a catch"],
        ),
        (
            P.transform("{{item}} {{index}}"),
            [
                "steps[0].transform (transform): item is there only in a map's own steps",
                "steps[0].transform (transform): index is there only in a map's own steps",
            ],
        ),
        (
            P.map("data", step(parallel={"a": [step(transform="{{item}}")]})),
            ["steps[0].steps[0].parallel.a[0].transform (transform): item is there only in a map"],
        ),
        (
            P.transform("{{result.data}}"),
            ["steps[0].transform (transform): result is there only after the step"],
        ),
        # steps
        (P.catch("t.any"), ["steps[0] (catch): there is no step before it whose failure it could catch"]),
        (ANY.map("data", []), ["steps[1].steps (map): there must be one step at least"]),
        (
            P.pipe("t.any", default=1),
            ["steps[0].default (t.any): it has no effect without continue_on_error"],
        ),
        (P, ["steps: there must be one step at least"]),
        # expressions
        (P.filter("'text'"), ["steps[0].filter (filter): it gives neither true nor false"]),
        (P.pipe("t.any", when="1 + 1"), ["steps[0].when (t.any): it gives neither true nor false"]),
        (P.branch("1 / 0 == 1"), ["steps[0].branch (branch): it divides by zero"]),
        (P.filter("a b"), ["steps[0].filter (filter): character 1: there is no a"]),
        (
            P.transform({"x": "{{"}),
            ["steps[0].transform (transform): transform.x: the hole at character 1 is not closed"],
        ),
        (P.map("data[", "t.any"), ["steps[0].map (map): it is no JMESPath"]),
        (P.pipe("t.any", stop_when="1 +"), ["steps[0].stop_when (t.any): it is no CEL"]),
    ],
)
def test_what_cannot_be_right_is_said_with_the_step(pipeline: Pipeline, problems: list[str]) -> None:
    """Before anything runs."""
    found = found_in(pipeline)

    assert len(found) == len(problems)
    assert all(map(str.startswith, found, problems)), found


def test_all_problems_are_said_at_once() -> None:
    """Of every step, up to a number."""
    many = Pipeline("many", [step(filter="nothing")] * (MAX_PROBLEMS + 1))

    assert len(found_in(P.filter("a").pipe("t.nothing").map("data", step(filter="b")))) == 3
    assert len(found_in(many)) == MAX_PROBLEMS


def test_what_a_registry_says_of_an_unknown_tool_is_said() -> None:
    """It knows which one may have been meant; each name is asked for once."""
    asked = []

    def find(name: str) -> Tool:
        asked.append(name)
        raise ToolNotFoundError(f"Unknown tool: {name}. Did you mean t.text?")

    problems = check(P.pipe("t.txet").pipe("t.txet"), find)

    assert [problem.message for problem in problems] == ["Unknown tool: t.txet. Did you mean t.text?"] * 2
    assert asked == ["t.txet"]


def test_what_a_schema_makes_depend_on_something_unknown_is_not_judged() -> None:
    """Another mode needs another key."""
    schema = {
        "type": "object",
        "properties": {"mode": {"type": "string"}},
        "if": {"properties": {"mode": {"const": ""}}},
        "then": {"required": ["key"]},
        "oneOf": [{"properties": {"mode": {"const": "a"}}}, {"properties": {"mode": {"const": "b"}}}],
    }
    tools = {"t.modes": Tool(name="modes", plugin="t", parameters=schema)}

    assert check(P.pipe("t.modes", params={"mode": "{{input.mode}}"}), tools.get) == []
    assert len(check(P.pipe("t.modes", params={"mode": ""}), tools.get)) == 2


@pytest.mark.parametrize(
    ("default", "message"),
    [
        ("{{data", "the hole at character 1 is not closed"),
        ({"a": ["{{x}}"]}, "there is no 'x'"),
        ("{{steps.nobody.data}}", "steps.nobody: there is no such step"),
        ("{{result.data}}", "there is no result.data: result has error, success"),
        ("{{error.message}}", "error is there only in a catch"),
    ],
)
def test_L3_the_default_of_a_failure_is_a_template_and_checked_as_one(default: Any, message: str) -> None:
    """It would be found out by the first item that fails."""
    [problem] = found_in(P.pipe("t.any", continue_on_error=True, default=default))

    assert problem.startswith("steps[0].default (t.any): ")
    assert message in problem


@pytest.mark.parametrize(
    "pipeline",
    [
        P.pipe("t.any", continue_on_error=True, default="{{result.error.message}} {{input.x}}"),
        # After a failure the number may be one.
        P.pipe("t.any", output={"n": "x"}, continue_on_error=True, default={"n": "{{input.n}}"}).pipe(
            "t.text", params={"text": "abc", "n": "{{data.n}}"}
        ),
        P.branch("input.x", if_true=step(transform=[True]), if_false=step(transform=[1])).pipe(
            "t.text", params={"text": "abc", "n": "{{data[0]}}"}
        ),
        P.branch(
            "input.x", if_true=step(transform={"n": {"m": True}}), if_false=step(transform={"n": {"m": 1}})
        ).pipe("t.text", params={"text": "abc", "n": "{{data.n.m}}"}),
    ],
)
def test_L1_what_one_of_two_ways_may_give_is_let_through(pipeline: Pipeline) -> None:
    """1 and true are two values, whatever Python says; a default is what its template makes."""
    assert found_in(pipeline) == []


@pytest.mark.parametrize(
    "asks",
    [
        {"dependentRequired": {"a": ["b"]}},
        {"dependentSchemas": {"a": {"required": ["b"]}}},
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}},
    ],
)
def test_L1_what_a_key_asks_for_that_may_not_be_there_is_not_judged(asks: dict[str, Any]) -> None:
    """Of an input that has nothing but perhaps that key."""
    given = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    tools = {"t.asks": Tool(name="asks", plugin="t", parameters={"type": "object", **asks})}

    assert check(Pipeline("c", parameters=given).pipe("t.asks"), tools.get) == []


def test_L1_what_a_key_asks_for_that_is_written_out_is_judged() -> None:
    """Params that are written out have their keys for certain, whatever their values."""
    asks = {"type": "object", "dependentRequired": {"a": ["b"]}}
    tools = {"t.asks": Tool(name="asks", plugin="t", parameters=asks)}

    [problem] = check(P.pipe("t.asks", params={"a": "{{data}}"}), tools.get)

    assert problem.path == "steps[0].params"
