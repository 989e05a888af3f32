"""Looks at a plugin of composite tools: its files, and the tools that they call. No guest runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock_plugins.composites import composite_tools, composites_in, find_in
from penstock_plugins.errors import LoopLimitError
from penstock_plugins.tool import Traits

if TYPE_CHECKING:
    from penstock_plugins.index import ToolIndex
    from penstock_workers.inspection import Inspection


def check_composites(found: Inspection, others: ToolIndex | None) -> None:
    """Write down what there is to say of a plugin's pipelines, and the tools that they are.

    Args:
        found: where it is written down.
        others: the tools that there are. None: it is not known, so what the pipelines call is not checked.
    """
    pipelines, problems = composites_in(found.bundle)
    for problem in problems:
        found.add(problem, "Mend the file")
    if problems:
        return
    # Imported here: most plugins have no pipelines.
    from penstock_plugins.pipelines.check import check
    from penstock_plugins.pipelines.check_effects import without_effect
    from penstock_plugins.pipelines.traits import check_calls_end, traits_of

    name = found.bundle.manifest.name
    own = {f"{name}.{tool}": pipeline for tool, pipeline in pipelines.items()}
    try:
        check_calls_end(own)
        if others is None:
            found.warnings.append("Whether there are the tools that it calls is checked when it is published")
            found.tools = composite_tools(found.bundle, pipelines, lambda _: Traits())
            return
        find = find_in(others, own)
        for file, pipeline in zip(found.bundle.manifest.artifacts, pipelines.values(), strict=True):
            for wrong in check(pipeline, find):
                found.add(f"{file}: {wrong}", "Mend the file, or publish what it calls first")
            found.warnings += [f"{file}: {idle}" for idle in without_effect(pipeline, find)]
        if found.ok:
            found.tools = composite_tools(found.bundle, pipelines, lambda one: traits_of(one, find))
    except LoopLimitError as error:
        found.add(error.message, "Let no composite call itself, and fewer call each other")
