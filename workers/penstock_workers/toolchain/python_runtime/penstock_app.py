"""The component's side of a plugin in Python: the interface `grain:plugin/plugin` over the declared tools.

`penstock_identity` and `wit_world` are written by the build; `plugin` is the author's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import penstock_identity
import penstock_plugin
import penstock_sealed
import plugin  # noqa: F401 -- declares the tools
from componentize_py_types import Err
from wit_world.exports.plugin import PluginInfo, ToolDef, ToolResult


class Plugin:
    """What the host calls; componentize-py finds it by its name."""

    def init(self) -> PluginInfo:
        """Say who we are. The host calls this first in each instance."""
        log = penstock_plugin.host.get("log") or (lambda level, line: None)
        penstock_sealed.seal(lambda line: log("INFO", line), lambda line: log("WARN", line))
        return PluginInfo(penstock_identity.NAME, penstock_identity.VERSION)

    def list_tools(self) -> list[ToolDef]:
        """Say what we can do."""
        return [
            ToolDef(tool.name, tool.label, tool.description, json.dumps(tool.parameters))
            for tool in penstock_plugin.tools.values()
        ]

    def call_tool(self, name: str, args_json: str) -> ToolResult:
        """Run one call."""
        try:
            return ToolResult(*penstock_plugin.call(name, args_json))
        finally:
            penstock_sealed.end_lines()


if penstock_identity.BATCH_ENTRY_POINT:
    from wit_world.exports import batch

    class Batch:
        """Calls that share this instance; componentize-py finds it by its name."""

        def call_tool_batch(self, name: str, args_json: list[str]) -> list[Any]:
            """Run each call."""
            try:
                return [batch.ToolResult(*penstock_plugin.call(name, args)) for args in args_json]
            finally:
                penstock_sealed.end_lines()


def _logging(host: Any) -> Callable[[str, str], None]:
    def log(level: str, message: str) -> None:
        host.log(host.LogLevel[level], message)

    return log


def _transported(exchange: Callable[..., Any]) -> Callable[..., Any]:
    def exchanged(*arguments: Any) -> Any:
        try:
            return exchange(*arguments)
        except Err as error:
            raise penstock_plugin.Failure(str(error.value), code="DEPENDENCY_ERROR") from error

    return exchanged


def _connect(functions: tuple[str, ...]) -> None:
    if functions:
        from wit_world.imports import host

        for name in functions:
            call = getattr(host, name)
            if name == "log":
                call = _logging(host)
            elif name.startswith("http"):
                call = _transported(call)
            penstock_plugin.host[name] = call


_connect(penstock_identity.HOST_FUNCTIONS)
