"""Plugins of kind `composite`: their files are pipelines with `parameters`, and each is a tool (L-1, L-5).

What such a tool may do follows from the tools that it calls. What these are is decided again with every
submission; what is in the record of the plugin is what they were when it was published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from penstock_plugins.errors import InvalidPipelineError, ToolNotFoundError
from penstock_plugins.index import ToolIndex
from penstock_plugins.tool import Tool, Traits

if TYPE_CHECKING:
    from penstock_plugins.bundle import Bundle
    from penstock_plugins.pipelines.model import Pipeline


def composites_in(bundle: Bundle) -> tuple[dict[str, Pipeline], list[str]]:
    """The pipelines of a bundle by the names of their tools, and all that is wrong with its files."""
    found: dict[str, Pipeline] = {}
    problems: list[str] = []
    if bundle.manifest.composite is None:
        return found, problems
    # Imported here: most plugins have none.
    from penstock_plugins.pipelines.files import parse_pipeline

    for file in bundle.manifest.composite.files:
        try:
            pipeline = parse_pipeline(bundle.files[file], path=file)
        except InvalidPipelineError as error:
            problems += [f"{file}: {problem}" for problem in error.problems]
            continue
        if not pipeline.is_composite:
            problems.append(f"{file}: a composite tool has parameters, a JSON Schema of its input")
        if pipeline.name in found:
            problems.append(f"{file}: another file has a tool {pipeline.name}")
        if not pipeline.steps:
            problems.append(f"{file}: there must be one step at least")
        found[pipeline.name] = pipeline
    return found, problems


def find_in(index: ToolIndex, own: Mapping[str, Pipeline] | None = None) -> Callable[[str], Tool | Pipeline]:
    """What a name means in these plugins: a tool, or the pipeline of a composite.

    Args:
        index: the tools that there are.
        own: pipelines of a plugin that is not among them yet, by full name.
    """
    # Imported here: most plugins have none.
    from penstock_plugins.pipelines import model

    def find(name: str) -> Tool | Pipeline:
        if own and name in own:
            return own[name]
        resolved = index.resolve(name)
        shape = resolved.record.pipelines.get(resolved.tool.name)
        if shape is None:
            return resolved.tool
        try:
            return model.Pipeline.from_dict(shape)
        except InvalidPipelineError as error:  # of a catalog that was written by a newer release, or by hand
            raise ToolNotFoundError(
                f"The pipeline of {resolved.tool.full_name} cannot be read: {error}"
            ) from error

    return find


def composite_tools(
    bundle: Bundle, pipelines: Mapping[str, Pipeline], traits: Callable[[Pipeline], Traits]
) -> list[Tool]:
    """The tools that these pipelines are.

    Args:
        bundle: of the plugin.
        pipelines: those that `composites_in` found.
        traits: what a pipeline's tools amount to.
    """
    manifest = bundle.manifest
    return [
        Tool(
            name=name,
            plugin=manifest.name,
            version=manifest.version,
            description=pipeline.description,
            parameters=pipeline.parameters or {"type": "object"},
            traits=traits(pipeline),
        )
        for name, pipeline in sorted(pipelines.items())
    ]
