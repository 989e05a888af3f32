"""What a pipeline does to the world, from its tools."""

from __future__ import annotations

import pytest

from penstock import Pipeline, Tool, Traits, step, tool
from penstock_plugins.errors import LoopLimitError, ToolNotFoundError
from penstock_plugins.pipelines.traits import check_calls_end, tool_names, traits_of

PURE = Traits(idempotent=True, retryable=True)
TOOLS = {
    "t.pure": Tool(name="pure", plugin="t", traits=PURE),
    "t.write": Tool(name="write", plugin="t", traits=Traits(writes_files=True, idempotent=True)),
    "t.fetch": Tool(name="fetch", plugin="t", traits=Traits(accesses_network=True, retryable=True)),
    "t.run": Tool(name="run", plugin="t", traits=Traits(executes_commands=True)),
}
COMPOSITES = {
    "t.both": Pipeline("both", parameters={"type": "object"}).pipe("t.write").pipe("t.fetch"),
    "t.self": Pipeline("self", parameters={"type": "object"}).pipe("t.self"),
}


def traits(pipeline: Pipeline) -> Traits:
    """Those of a pipeline."""
    return traits_of(pipeline, lambda name: TOOLS.get(name) or COMPOSITES.get(name))


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        (Pipeline("p").transform(1), PURE),
        (Pipeline("p").pipe("t.pure"), PURE),
        (Pipeline("p").pipe("t.pure").pipe("t.write"), Traits(writes_files=True, idempotent=True)),
        (Pipeline("p").pipe("t.write").pipe("t.fetch"), Traits(writes_files=True, accesses_network=True)),
        (Pipeline("p").pipe("t.pure").compensate("t.run", {}), Traits(executes_commands=True)),
        (Pipeline("p").pipe("t.both"), Traits(writes_files=True, accesses_network=True)),
    ],
)
def test_L5_risks_are_united_and_what_allows_repetition_is_intersected(
    pipeline: Pipeline, expected: Traits
) -> None:
    """Of its tools, those that undo included, and of composites inside of it."""
    assert traits(pipeline) == expected


def test_L5_tools_inside_of_other_steps_count() -> None:
    """Wherever they are."""
    inner = [tool("t.run"), step(map="data", steps=[tool("t.fetch")])]

    assert traits(Pipeline("p").pipe("t.pure").branch("true", if_false=inner)) == Traits(
        executes_commands=True, accesses_network=True
    )


def test_the_names_of_tools_are_said_once_in_their_order() -> None:
    """What is to be resolved and pinned."""
    pipeline = Pipeline("p").pipe("t.b").compensate("t.undo", {}).parallel(x="t.a", y="t.b").catch("t.c")

    assert tool_names(pipeline) == ["t.b", "t.undo", "t.a", "t.c"]


def test_a_composite_inside_of_itself_is_refused() -> None:
    """And an unknown tool."""
    with pytest.raises(LoopLimitError, match=r"inside of themselves: t\.self > t\.self"):
        traits(Pipeline("p").pipe("t.self"))
    with pytest.raises(ToolNotFoundError, match=r"Unknown tool: t\.nothing"):
        traits(Pipeline("p").pipe("t.nothing"))


def test_X2_composites_are_8_deep_at_most() -> None:
    """Those that lead too deep are named."""
    chain = {
        f"t.c{n}": Pipeline(f"c{n}", parameters={"type": "object"}).pipe(f"t.c{n + 1}") for n in range(8)
    }
    chain["t.c8"] = Pipeline("c8", parameters={"type": "object"}).pipe("t.pure")

    assert traits_of(chain["t.c0"], lambda name: TOOLS.get(name) or chain.get(name)) == PURE
    with pytest.raises(LoopLimitError, match=r"more than 8 deep: t\.c0 > t\.c1 > .* > t\.c8$"):
        traits_of(Pipeline("p").pipe("t.c0"), lambda name: TOOLS.get(name) or chain.get(name))


def test_composites_that_many_share_are_looked_at_once() -> None:
    """Ten on each of eight levels, each of which names all of the next level: ten to the eighth ways."""
    shape = {"type": "object"}
    shared: dict[str, Pipeline] = {}
    for level in range(8):
        for n in range(10):
            below = [f"t.l{level + 1}n{k}" for k in range(10)] if level < 7 else ["t.pure"]
            made = Pipeline(f"l{level}n{n}", parameters=shape)
            for name in below:
                made = made.pipe(name)
            shared[f"t.l{level}n{n}"] = made
    asked: list[str] = []

    def find(name: str) -> Tool | Pipeline | None:
        asked.append(name)
        return TOOLS.get(name) or shared.get(name)

    assert traits_of(Pipeline("p").pipe("t.l0n0"), find) == PURE
    assert len(asked) == 1 + 10 + 6 * 100 + 10
    check_calls_end(shared)
    shared["t.l7n9"] = Pipeline("l7n9", parameters=shape).pipe("t.more")
    shared["t.more"] = Pipeline("more", parameters=shape).pipe("t.pure")
    with pytest.raises(LoopLimitError, match=r"more than 8 deep: .* > t\.l7n9 > t\.more$"):
        check_calls_end(shared)
