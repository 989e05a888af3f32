"""With which plan a run goes on: the one that it began with, or one of what its tools' names mean now."""

from __future__ import annotations

from dataclasses import replace

from penstock_broker_config.queues import DEFAULT
from penstock_plugins.composites import find_in
from penstock_plugins.errors import ConflictError, ToolNotFoundError
from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan
from penstock_scheduler.flow import Flow
from penstock_scheduler.planning import Planned, make_plan
from penstock_scheduler.submission import choose_queue
from penstock_scheduler.toolbox import Toolbox


def plan_to_resume(toolbox: Toolbox, before: Planned, *, pinned: bool, latest: bool) -> Flow[Planned]:
    """The plan to go on with.

    Args:
        toolbox: what is published.
        before: the plan that the run began with.
        pinned: with its bundles, whatever was published since.
        latest: with what the names of its tools mean now.

    Raises:
        ConflictError: tools have changed and nothing was said, or they have changed too much.
        CatalogError: a bundle that it began with is not there any more.
    """
    plan = before.plan
    if pinned:
        for tool in plan.tools:
            yield from toolbox.pinned(tool.name, tool.digest)
        return before
    yield from toolbox.tools()  # what was published a moment ago counts
    changes = yield from toolbox.with_tools(lambda index: _changes(plan, index))
    if not changes:
        return before
    if not latest:
        raise ConflictError(
            f"What the run called has changed ({'; '.join(changes)}): say pinned to go on with what it "
            "began with, or latest to go on with what there is now",
            {"changed": changes},
        )
    asked = None if plan.queue == DEFAULT else plan.queue.removeprefix("penstock.")
    now = yield from toolbox.with_tools(
        lambda index: make_plan(
            plan.pipeline,
            index,
            lambda pool: choose_queue(asked, pool),
            composite=plan.composite,
            fuse=plan.fuse,
        )
    )
    if _way(now) != _way(before):
        raise ConflictError(
            "A composite tool that the run calls has other steps now: say pinned to go on with what it began "
            "with, or submit it anew"
        )
    if _undoing(now) != _undoing(before):
        raise ConflictError(
            "What undoes steps of the run are other tools now: say pinned to go on with what it began with"
        )
    return replace(now, plan=now.plan.with_context(plan.context))


def _changes(plan: Plan, index: ToolIndex) -> list[str]:
    """What the names in a plan mean now that they did not mean then, in words."""
    find = find_in(index)
    changes = []
    for name, meaning in sorted(plan.names.items()):
        try:
            resolved, now = index.resolve(name), find(name)
        except ToolNotFoundError:
            changes.append(f"{name} is not published any more")
            continue
        if isinstance(meaning, str):
            if not isinstance(now, Pipeline) or now.digest() != plan.composites[meaning].digest():
                changes.append(f"{name} has other steps")
        elif resolved.digest != plan.tools[meaning].digest:
            before = plan.tools[meaning]
            changes.append(
                f"{name} was {before.version} ({before.digest[:12]}), "
                f"is {resolved.tool.version} ({resolved.digest[:12]})"
            )
    return changes


def _way(found: Planned) -> list[list[tuple[str, str, str]]]:
    """The instructions of all programs, as far as items remember where they are in them."""
    return [[(one.op.value, one.path, one.tool_name) for one in program.code] for program in found.programs]


def _undoing(found: Planned) -> list[dict[int, str]]:
    """The tools that undo steps, by program: items remember them by their numbers."""
    tools = found.plan.tools
    return [
        {one.undo_tool: tools[one.undo_tool].name for one in program.code if one.undo_tool >= 0}
        for program in found.programs
    ]
