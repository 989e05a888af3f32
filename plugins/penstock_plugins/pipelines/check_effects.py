"""What a pipeline that can run says without effect: worth a warning, since nothing comes of it."""

from __future__ import annotations

from penstock_plugins.errors import ToolNotFoundError
from penstock_plugins.pipelines.check import MAX_PROBLEMS, FindTool
from penstock_plugins.pipelines.model import Pipeline, Problem, ToolStep, walk
from penstock_plugins.tool import Tool


def without_effect(pipeline: Pipeline, find_tool: FindTool) -> list[Problem]:
    """Settings of steps that change nothing, at most `check.MAX_PROBLEMS`. Its composites are not looked at.

    Args:
        pipeline: as `check` takes it.
        find_tool: as there.
    """
    found = [
        Problem(path=f"{path}.retry", step=step.label, message=_no_retry(step.tool))
        for path, _, step in walk(pipeline.steps)
        if isinstance(step, ToolStep) and _retries(step) and _is_started_once(step.tool, find_tool)
    ]
    return found[:MAX_PROBLEMS]


def _retries(step: ToolStep) -> bool:
    """Whether it asks for a second attempt. One that asks for none gets what it asks for."""
    return step.retry is not None and step.retry.max_attempts > 1


def _is_started_once(name: str, find_tool: FindTool) -> bool:
    """Whether its failed calls are never tried again (E-2): those of steps have no idempotency keys."""
    try:
        tool = find_tool(name)
    except ToolNotFoundError:  # which `check` says
        return False
    return isinstance(tool, Tool) and not tool.traits.retryable


def _no_retry(tool: str) -> str:
    return f"it has no effect: {tool} is not retryable, so a call that failed is not tried again"
