"""What a pipeline does to the world, from what its tools do (L-5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from penstock_plugins.errors import LoopLimitError, ToolNotFoundError
from penstock_plugins.pipelines.check import FindTool
from penstock_plugins.pipelines.model import Pipeline, ToolStep, walk
from penstock_plugins.tool import Tool, Traits

#: Composites inside each other at most (X-2).
MAX_COMPOSITE_DEPTH = 8

#: What a pipeline does, and the names of the longest chain of composites inside it.
_Found: TypeAlias = tuple[Traits, tuple[str, ...]]


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
    return _look(pipeline, find_tool, (), {})[0]


def check_calls_end(pipelines: Mapping[str, Pipeline]) -> None:
    """Whether these composites, by full name, call each other as deep as may be at most.

    Raises:
        LoopLimitError: they do not; names them.
    """
    none = Tool(name="tool", plugin="other")
    known: dict[str, _Found] = {}
    for name, pipeline in pipelines.items():
        _look(pipeline, lambda name: pipelines.get(name, none), (name,), known)


def _union(found: list[Traits]) -> Traits:
    return Traits(
        writes_files=any(traits.writes_files for traits in found),
        executes_commands=any(traits.executes_commands for traits in found),
        accesses_network=any(traits.accesses_network for traits in found),
        idempotent=all(traits.idempotent for traits in found),
        retryable=all(traits.retryable for traits in found),
    )


def _look(
    pipeline: Pipeline, find_tool: FindTool, inside: tuple[str, ...], known: dict[str, _Found]
) -> _Found:
    """What a pipeline does, and the longest chain of composites inside it.

    Args:
        pipeline: it.
        find_tool: as of `check`.
        inside: the composites that lead here.
        known: what was found of composites, by name: many may share them, at each level.
    """
    found: list[Traits] = []
    longest: tuple[str, ...] = ()
    for name in tool_names(pipeline):
        tool = find_tool(name)
        if tool is None:
            raise ToolNotFoundError(f"Unknown tool: {name}")
        if not isinstance(tool, Pipeline):
            found.append(tool.traits)
            continue
        chain = (*inside, name)
        if name in inside:
            raise LoopLimitError(f"Composite tools are inside of themselves: {' > '.join(chain)}")
        _check_depth(chain)
        if name not in known:
            known[name] = _look(tool, find_tool, chain, known)
        traits, below = known[name]
        _check_depth((*chain, *below))
        found.append(traits)
        longest = max(longest, (name, *below), key=len)
    return _union(found), longest


def _check_depth(chain: tuple[str, ...]) -> None:
    if len(chain) > MAX_COMPOSITE_DEPTH:
        too_deep = f"more than {MAX_COMPOSITE_DEPTH} deep: {' > '.join(chain)}"
        raise LoopLimitError(f"Composite tools are inside each other {too_deep}")


def _named(pipeline: Pipeline) -> Iterator[str]:
    for _, _, step in walk(pipeline.steps):
        if isinstance(step, ToolStep):
            yield step.tool
            if step.compensate is not None:
                yield step.compensate.tool
