"""What a pipeline says without effect."""

from __future__ import annotations

import pytest

from penstock import Pipeline, Tool, tool
from penstock_plugins.errors import ToolNotFoundError
from penstock_plugins.pipelines.check import MAX_PROBLEMS
from penstock_plugins.pipelines.check_effects import without_effect
from penstock_plugins.tool import Traits

TOOLS: dict[str, Tool | Pipeline] = {
    "t.once": Tool(name="once", plugin="t"),
    "t.idempotent": Tool(name="idempotent", plugin="t", traits=Traits(idempotent=True)),
    "t.retryable": Tool(name="retryable", plugin="t", traits=Traits(retryable=True)),
    "t.composite": Pipeline("composite", parameters={"type": "object"}).pipe("t.once"),
}
P = Pipeline("p")
TWICE = {"max_attempts": 2}


def find(name: str) -> Tool | Pipeline:
    """As an index does it."""
    if name not in TOOLS:
        raise ToolNotFoundError(f"Unknown tool: {name}")
    return TOOLS[name]


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        (P.pipe("t.retryable", retry=TWICE), []),
        (P.pipe("t.once").pipe("t.idempotent"), []),
        (P.pipe("t.once", retry={"max_attempts": 1}), []),
        # what `check` says
        (P.pipe("t.nothing", retry=TWICE), []),
        (P.pipe("t.composite", retry=TWICE), []),
        (
            P.pipe("t.once").pipe("t.once", retry=TWICE),
            ["steps[1].retry (t.once): it has no effect: t.once is not retryable, so a call that failed"],
        ),
        (P.pipe("t.idempotent", name="a", retry={"cap_ms": 100}), ["steps[0].retry (a): "]),
        (
            P.branch("true", if_true=tool("t.once", retry=TWICE)).map("data", tool("t.once", retry=TWICE)),
            ["steps[0].if_true[0].retry (t.once): ", "steps[1].steps[0].retry (t.once): "],
        ),
    ],
)
def test_E2_a_retry_has_no_effect_where_the_tool_is_not_retryable(
    pipeline: Pipeline, said: list[str]
) -> None:
    """Steps inside of others are looked at; one attempt is what such a tool has anyway."""
    found = [str(problem) for problem in without_effect(pipeline, find)]

    assert len(found) == len(said), found
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True)), found


def test_what_is_said_is_bounded() -> None:
    """As problems are."""
    steps = [{"tool": "t.once", "retry": TWICE}] * (MAX_PROBLEMS + 1)

    assert len(without_effect(Pipeline("p", steps), find)) == MAX_PROBLEMS
