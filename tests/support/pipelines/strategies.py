"""Random pipelines over toy tools: small numbers in, small numbers out, failures that the params decide."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan, PlannedTool
from penstock_plugins.result import ToolFailure

#: Inputs of random pipelines.
INPUTS = st.fixed_dictionaries({"n": st.integers(0, 20)})
#: A composite that fails for some params and calls two tools.
COMPOSITE = Pipeline.from_dict(
    {
        "name": "both",
        "parameters": {"type": "object"},
        "steps": [
            {"tool": "toy.add", "params": {"n": "{{input.n}}"}},
            {"tool": "toy.odd", "params": {"n": "{{data.n}}"}, "stop_when": "data.n > 15"},
            {"tool": "toy.add", "params": {"n": "{{results[1].data.n}}"}},
        ],
    }
)
#: A composite whose params must be one number.
STRICT = Pipeline.from_dict(
    {
        "name": "strict",
        "parameters": {
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "required": ["n"],
            "additionalProperties": False,
        },
        "steps": [{"tool": "toy.add"}],
    }
)
#: A composite that catches a failure, and a filter in it takes out some items.
SIEVE = Pipeline.from_dict(
    {
        "name": "sieve",
        "parameters": {"type": "object"},
        "steps": [
            {"tool": "toy.odd"},
            {"catch": [{"transform": {"n": 5}}], "when": "error.code == 'NOT_FOUND'"},
            {"branch": "data.n > 3", "if_true": [{"filter": "data.n % 4 != 1"}, {"tool": "toy.add"}]},
        ],
    }
)
#: By their full names.
COMPOSITES = {"toy.both": COMPOSITE, "toy.strict": STRICT, "toy.sieve": SIEVE}
TOOLS = ("toy.add", "toy.odd", "toy.undo")


def toy(tool: str, params: Any) -> tuple[Any, ToolFailure | None]:
    """What a toy tool gives: `add` one more, `odd` fails for multiples of three, `undo` nothing."""
    number = params.get("n") if isinstance(params, dict) else None
    if type(number) is not int:
        return None, ToolFailure(code=ErrorCode.VALIDATION_ERROR, message="n is no number")
    if tool == "toy.undo":
        return {}, None
    if tool == "toy.odd" and number % 3 == 0:
        return None, ToolFailure(code=ErrorCode.NOT_FOUND, message=f"nothing for {number}")
    return {"n": (number + 1) % 40}, None


def plan_of(pipeline: Pipeline, *, fuse: bool = True, pure: bool = True) -> Plan:
    """The plan of a pipeline of toy tools."""
    return Plan(
        pipeline=pipeline,
        tools=tuple(
            PlannedTool(name=name, digest="0" * 64, pure=pure, once=not pure, queue="penstock.default")
            for name in TOOLS
        ),
        composites=COMPOSITES,
        names={name: number for number, name in enumerate(TOOLS)} | {name: name for name in COMPOSITES},
        queue="penstock.default",
        fuse=fuse,
    )


_CONDITIONS = st.sampled_from(["data.n > 5", "data.n % 2 == 0", "input.n < 10", "true", "data.n >= 0"])
_WHEN = st.one_of(st.none(), st.none(), _CONDITIONS)
_NUMBERS = st.sampled_from(["{{data.n}}", "{{input.n}}", "{{data.m}}", 7, 9])


@st.composite
def _common(draw: st.DrawFn, shape: dict[str, Any]) -> dict[str, Any]:
    if (when := draw(_WHEN)) is not None:
        shape["when"] = when
    if draw(st.integers(0, 9)) == 0:
        shape["stop_when"] = draw(_CONDITIONS)
    return shape


@st.composite
def _tool(draw: st.DrawFn) -> dict[str, Any]:
    called = st.sampled_from(["toy.add", "toy.add", "toy.odd", "toy.odd", "toy.both", "toy.sieve"])
    shape: dict[str, Any] = {"tool": draw(called)}
    if draw(st.booleans()):
        shape["params"] = {"n": draw(_NUMBERS)}
    if draw(st.integers(0, 3)) == 0:
        shape["output"] = {"n": "{{result.data.n}}", "m": "{{data.n}}"}
    if draw(st.integers(0, 4)) == 0:
        shape["continue_on_error"] = True
        if draw(st.booleans()):
            shape["default"] = {"n": draw(st.integers(0, 9))}
    if draw(st.integers(0, 2)) == 0 and shape["tool"] not in COMPOSITES:
        shape["compensate"] = {"tool": "toy.undo", "params": {"n": "{{result.data.n}}"}}
    return draw(_common(shape))


_TRANSFORM = st.fixed_dictionaries({"transform": st.fixed_dictionaries({"n": _NUMBERS})})
_FILTER = st.fixed_dictionaries({"filter": _CONDITIONS})


@st.composite
def _sequence(draw: st.DrawFn, depth: int) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(
            st.sampled_from(["tool", "tool", "tool", "transform", "filter", "branch", "catch", "fan"])
        )
        inner = _sequence(depth - 1)
        if kind == "transform":
            steps.append(draw(_common(draw(_TRANSFORM))))
        elif kind == "filter":
            steps.append(draw(_common(draw(_FILTER))))
        elif kind == "branch" and depth:
            shape = {"branch": draw(_CONDITIONS), "if_true": draw(inner), "if_false": draw(inner)}
            steps.append(draw(_common(shape)))
        elif kind == "catch" and depth and steps:
            handler = [{"transform": {"n": 2, "code": "{{error.code}}"}}, *draw(inner)]
            shape = {"catch": handler}
            if draw(st.integers(0, 3)) == 0:
                shape["when"] = "error.code == 'NOT_FOUND'"
            steps.append(shape)
        elif kind == "fan" and depth and draw(st.booleans()):
            steps.append({"parallel": {"a": draw(inner), "b": draw(inner)}})
            steps.append({"transform": {"n": "{{not_null(data.a.n, data.b.n, `1`)}}"}})
        elif kind == "fan" and depth:
            steps.append({"transform": [{"n": "{{data.n}}"}, {"n": 4}, {"n": 6}]})
            steps.append({"map": "data", "steps": draw(inner)})
            steps.append({"transform": {"n": "{{length(data)}}"}})
        else:
            steps.append(draw(_tool()))
    return steps


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """A pipeline of toy tools, of every kind of step, nested."""
    return Pipeline.from_dict({"name": "random", "steps": draw(_sequence(2))})
