"""Runs a pipeline in this process, with the tools of plugin folders: no broker, no worker, same results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.cli.local_tools import LocalTools
from penstock_plugins.errors import ParamsError
from penstock_plugins.pipelines.inputs import input_value
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
    """The result of each input, in order. One that does not fit the pipeline's parameters fails alone.

    Raises:
        InvalidPipelineError: the pipeline cannot run with these tools.
    """
    schema = None if pipeline.parameters is None else ParamsSchema(pipeline.parameters)
    with LocalTools(settings, folders) as tools:
        plan = make_plan(pipeline, tools.index, lambda pool: "local").plan

        def call(tool: PlannedTool, params: Any) -> tuple[Any, ToolFailure | None]:
            result = tools.call(tool.digest, tool.name, params)
            return result.data, result.error

        indexes: list[int] = []
        unfit: list[ToolResult] = []

        def fitting() -> Iterator[Any]:
            for index, given in enumerate(inputs):
                try:
                    value = input_value(given)
                    if schema is not None:
                        schema.check(value)
                except ParamsError as error:
                    unfit.append(
                        _result(pipeline, index, success=False, error=ToolFailure.from_exception(error))
                    )
                else:
                    indexes.append(index)
                    yield value

        for ended in run_locally(plan, fitting(), call):
            yield from unfit
            unfit.clear()
            yield _result(
                pipeline,
                indexes.pop(),
                success=ended.success,
                data=ended.item.data if ended.success else None,
                error=ended.item.failure,
                trace=ended.trace,
                filtered=ended.filtered,
            )
        yield from unfit


def _result(pipeline: Pipeline, index: int, **fields: Any) -> ToolResult:
    metadata = ResultMetadata(worker=f"local:{os.getpid()}")
    shape = {"trace": [], "filtered": False, **fields}
    return ToolResult(call_id=f"local.{index}", tool=pipeline.name, metadata=metadata, index=index, **shape)
