"""What a pipeline does to the world, from what its tools do (L-5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from penstock_plugins.errors import LoopLimitError, ToolNotFoundError
from penstock_plugins.pipelines.check import FindTool
from penstock_plugins.pipelines.model import Pipeline, ToolStep, walk
from penstock_plugins.tool import Tool, Traits

#: Composites inside each other at most (X-2).
MAX_COMPOSITE_DEPTH = 8


def tool_names(pipeline: Pipeline) -> list[str]:
    """The tools that a pipeline names, those that undo steps included, each once, in their order."""
    return list(dict.fromkeys(_named(pipeline)))


def traits_of(pipeline: Pipeline, find_tool: FindTool) -> Traits:
    """Risks by union, `idempotent` and `retryable` by intersection.

    Args:
        pipeline: it.
        find_tool: as of `check`.

    Raises:
        ToolNotFoundError: there is no such tool.
        LoopLimitError: composites are too deep inside each other, or one inside of itself.
    """
    return _union(list(_tools_traits(pipeline, find_tool, ())))


def check_calls_end(pipelines: Mapping[str, Pipeline]) -> None:
    """Whether these composites, by full name, call each other as deep as may be at most.

    Raises:
        LoopLimitError: they do not; names them.
    """
    none = Tool(name="tool", plugin="other")
    for name, pipeline in pipelines.items():
        for _ in _tools_traits(pipeline, lambda name: pipelines.get(name, none), (name,)):
            pass


def _union(found: list[Traits]) -> Traits:
    return Traits(
        writes_files=any(traits.writes_files for traits in found),
        executes_commands=any(traits.executes_commands for traits in found),
        accesses_network=any(traits.accesses_network for traits in found),
        idempotent=all(traits.idempotent for traits in found),
        retryable=all(traits.retryable for traits in found),
    )


def _tools_traits(pipeline: Pipeline, find_tool: FindTool, inside: tuple[str, ...]) -> Iterator[Traits]:
    """`inside` are the composites that lead here."""
    for name in tool_names(pipeline):
        tool = find_tool(name)
        if tool is None:
            raise ToolNotFoundError(f"Unknown tool: {name}")
        if not isinstance(tool, Pipeline):
            yield tool.traits
            continue
        chain = (*inside, name)
        if name in inside:
            raise LoopLimitError(f"Composite tools are inside of themselves: {' > '.join(chain)}")
        if len(chain) > MAX_COMPOSITE_DEPTH:
            too_deep = f"more than {MAX_COMPOSITE_DEPTH} deep: {' > '.join(chain)}"
            raise LoopLimitError(f"Composite tools are inside each other {too_deep}")
        yield _union(list(_tools_traits(tool, find_tool, chain)))


def _named(pipeline: Pipeline) -> Iterator[str]:
    for _, _, step in walk(pipeline.steps):
        if isinstance(step, ToolStep):
            yield step.tool
            if step.compensate is not None:
                yield step.compensate.tool
