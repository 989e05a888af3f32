"""Calls of one plugin in this process: no broker, no catalog, the same execution."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import orjson

from penstock_plugins.errors import ParamsError
from penstock_plugins.index import ResolvedTool, ToolIndex
from penstock_plugins.record import PluginRecord
from penstock_plugins.result import ResultMetadata, ToolFailure, ToolResult
from penstock_plugins.tool import Tool

if TYPE_CHECKING:
    from types import TracebackType

    from penstock_workers.executor import Executor
    from penstock_workers.guard import CallGuard
    from penstock_workers.outcome import Outcome
    from penstock_workers.plugin import WarmPlugin
    from penstock_workers.prepared import PreparedTool


class LocalExecutor:
    """The tools of one folder. One call at a time."""

    def __init__(self, plugin: WarmPlugin, executor: Executor, guard: CallGuard) -> None:
        self._plugin = plugin
        self._executor = executor
        self._guard = guard
        self._index = ToolIndex([plugin.record])
        self._numbers = itertools.count(1)

    @property
    def tools(self) -> list[Tool]:
        """The plugin's tools, by full name."""
        return self._index.tools()

    @property
    def record(self) -> PluginRecord:
        """What a catalog would know of the plugin."""
        return self._plugin.record

    def tool(self, name: str) -> Tool:
        """A tool, by its full or its short name.

        Raises:
            ToolNotFoundError: there is none.
        """
        return self._index.resolve(name).tool

    def run(self, tool: str, params: Mapping[str, Any], *, timeout_s: float | None = None) -> ToolResult:
        """Call a tool. Its failure is a result, not an exception.

        Args:
            tool: its full or its short name.
            params: JSON values.
            timeout_s: narrows the tool's own time.

        Raises:
            ToolNotFoundError: there is no such tool.
            PermissionDeniedError: the plugin needs a capability that it does not have.
        """
        resolved = self._index.resolve(tool)
        prepared = self._executor.prepare(resolved.digest, resolved.tool.name, timeout_s=timeout_s)
        call_id = f"local.{next(self._numbers)}"
        try:
            params_json = orjson.dumps(params)
        except TypeError as error:
            failure = ToolFailure.from_exception(ParamsError(f"The params are not JSON: {error}"))
            return ToolResult(call_id=call_id, tool=resolved.tool.full_name, success=False, error=failure)
        return _result(call_id, resolved, prepared.invoke(params_json, token=call_id))

    def run_text(self, tool: str, params_json: bytes, *, timeout_s: float | None = None) -> ToolResult:
        """Call a tool with params as the text that travelled, whatever it is. See `run`."""
        resolved = self._index.resolve(tool)
        prepared = self._executor.prepare(resolved.digest, resolved.tool.name, timeout_s=timeout_s)
        call_id = f"local.{next(self._numbers)}"
        return _result(call_id, resolved, prepared.invoke(params_json, token=call_id))

    def run_many(
        self, tool: str, params: Sequence[Mapping[str, Any]], *, timeout_s: float | None = None
    ) -> list[ToolResult]:
        """Call a tool several times, by its batch entry point where it may be used. See `run`.

        Raises:
            ToolNotFoundError: there is no such tool.
            PermissionDeniedError: the plugin needs a capability that it does not have.
            TypeError: params are not JSON.
        """
        resolved = self._index.resolve(tool)
        prepared = self._executor.prepare(resolved.digest, resolved.tool.name, timeout_s=timeout_s)
        first = next(self._numbers)
        outcomes = prepared.invoke_many([orjson.dumps(p) for p in params], token=f"local.{first}")
        return [_result(f"local.{first}.{k}", resolved, outcome) for k, outcome in enumerate(outcomes)]

    def prepare(self, tool: str) -> PreparedTool:
        """A tool, ready for any number of calls while this is open. Raises as `run` does."""
        resolved = self._index.resolve(tool)
        return self._executor.prepare(resolved.digest, resolved.tool.name)

    def close(self) -> None:
        """Let go of the native code. Closing twice is fine."""
        self._guard.close()
        self._plugin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _result(call_id: str, resolved: ResolvedTool, outcome: Outcome) -> ToolResult:
    return ToolResult(
        call_id=call_id,
        tool=resolved.tool.full_name,
        success=outcome.success,
        data=outcome.data,
        error=outcome.failure,
        metadata=ResultMetadata(
            **outcome.metadata,
            execution_ms=outcome.execution_ms,
            worker=f"local:{os.getpid()}",
            plugin_digest=resolved.digest,
        ),
    )
