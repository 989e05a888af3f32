"""Whether a plugin's batch entry point is where it is asked for, is ever used, and keeps its promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock_workers.together import reason_to_run_alone

if TYPE_CHECKING:
    from penstock_plugins.policy import Grants
    from penstock_plugins.result import ToolResult
    from penstock_workers.inspection import Inspection
    from penstock_workers.local import LocalExecutor
    from penstock_workers.plugin import WarmPlugin


def check_batch_entry_point(found: Inspection, plugin: WarmPlugin, grants: Grants) -> None:
    """Write down what is wrong with what the manifest says of it, or odd."""
    found.batch_entry_point = plugin.has_batch_entry_point
    asking = [table.name for table in found.bundle.manifest.tools if table.batch_entry_point]
    if not plugin.has_batch_entry_point:
        for name in asking:
            found.add(
                f"The manifest says batch_entry_point of {name}, and the component exports none",
                "Build it again, or take that out",
            )
        return
    if not asking:
        found.warnings.append("It exports a batch entry point, and no tool of the manifest asks for it")
    for tool in found.tools:
        reason = reason_to_run_alone(plugin, tool, grants)
        if tool.name in asking and reason:
            found.warnings.append(f"{tool.name} never uses its batch entry point: {reason}")


def disagreement(executor: LocalExecutor, tool: str, params: Sequence[Mapping[str, Any]]) -> str:
    """How calls that share an instance differ from calls that have one each; empty when they do not.

    Each is made three times, once in the other direction, so that what one leaves behind meets the others.
    """
    alone = [executor.run(tool, given) for given in params]
    there = [*range(len(params)), *reversed(range(len(params))), *range(len(params))]
    together = executor.run_many(tool, [params[k] for k in there])
    for k, result in zip(there, together, strict=True):
        if _answer(result) != _answer(alone[k]):
            return f"in a batch its call {k + 1} gives something else than alone"
    return ""


def _answer(result: ToolResult) -> tuple[object, object]:
    return result.data, result.error
