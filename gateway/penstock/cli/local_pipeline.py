"""Runs a pipeline in this process, with the tools of plugin folders: no broker, no worker, same results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.cli.local_tools import LocalTools
from penstock_plugins.pipelines.local_run import run_locally
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import PlannedTool
from penstock_plugins.result import ResultMetadata, ToolFailure, ToolResult
from penstock_plugins.schema import ParamsSchema
from penstock_scheduler.planning import make_plan

if TYPE_CHECKING:
    from penstock_broker_config.settings import Settings


def run_here(
    settings: Settings, folders: Sequence[Path], pipeline: Pipeline, inputs: Iterable[Any]
) -> Iterator[ToolResult]:
    """The result of each input, in order.

    Raises:
        InvalidPipelineError: the pipeline cannot run with these tools.
        ParamsError: an input does not fit the pipeline's parameters.
    """
    schema = None if pipeline.parameters is None else ParamsSchema(pipeline.parameters)
    with LocalTools(settings, folders) as tools:
        plan = make_plan(pipeline, tools.index, lambda pool: "local").plan

        def call(tool: PlannedTool, params: Any) -> tuple[Any, ToolFailure | None]:
            result = tools.call(tool.digest, tool.name, params)
            return result.data, result.error

        def checked() -> Iterator[Any]:
            for given in inputs:
                if schema is not None:
                    schema.check(given)
                yield given

        for index, ended in enumerate(run_locally(plan, checked(), call)):
            yield ToolResult(
                call_id=f"local.{index}",
                tool=pipeline.name,
                success=ended.success,
                data=ended.item.data if ended.success else None,
                error=ended.item.failure,
                metadata=ResultMetadata(worker=f"local:{os.getpid()}"),
                index=index,
                trace=ended.trace,
                filtered=ended.filtered,
            )
