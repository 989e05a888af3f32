"""One fresh instance of a component, and the three functions that it exports.

This is the seam behind which the way into wasmtime may change: the sandbox knows these methods only. They go
through wasmtime's public API, except for `list_tools`, whose result has to be measured before it is read.
"""

# ruff: noqa: SLF001 - wasmtime-py has no public way to a result that is not converted yet

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wasmtime import Store, WasmtimeError, _ffi
from wasmtime.component import Component, ExportIndex, Func, Linker

from penstock_workers.world import PLUGIN

if TYPE_CHECKING:
    from wasmtime.component import Instance


class BadValueError(Exception):
    """The guest returned a value that cannot be read. Its text is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """What `init` says about the plugin."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDef:
    """One tool as `list-tools` declares it."""

    name: str
    label: str
    description: str
    parameters_json: str


class Exports:
    """Where a component keeps its three functions, looked up once."""

    __slots__ = ("call_tool", "init", "list_tools")

    def __init__(self, component: Component) -> None:
        plugin = component.get_export_index(PLUGIN)
        self.init = _index(component, "init", plugin)
        self.list_tools = _index(component, "list-tools", plugin)
        self.call_tool = _index(component, "call-tool", plugin)


class Guest:
    """A fresh instance. Its store is the caller's to limit, and to close."""

    __slots__ = ("_exports", "_instance", "_store")

    def __init__(self, store: Store, linker: Linker, component: Component, exports: Exports) -> None:
        """Instantiate, which runs the guest's start functions.

        Raises:
            WasmtimeError: the guest trapped, or the store's limits are too tight for it.
        """
        self._store = store
        self._exports = exports
        self._instance: Instance = linker.instantiate(store, component)

    def init(self) -> PluginInfo | str:
        """What the plugin says it is, or its error.

        Raises:
            WasmtimeError: the guest trapped.
        """
        answer = self._function(self._exports.init)(self._store)
        return answer if isinstance(answer, str) else PluginInfo(name=answer.name, version=answer.version)

    def call_tool(self, name: str, args_json: str) -> tuple[str, bool]:
        """Call a tool: its content, and whether that is an error.

        Raises:
            WasmtimeError: the guest trapped.
        """
        result = self._function(self._exports.call_tool)(self._store, name, args_json)
        return getattr(result, "content-json"), getattr(result, "is-error")

    def list_tools(self, max_tools: int, max_bytes: int) -> list[ToolDef]:
        """The tools that the guest declares.

        Raises:
            WasmtimeError: the guest trapped.
            BadValueError: more tools, or longer texts, than anybody may declare.
        """
        function = self._function(self._exports.list_tools)
        answer = _ffi.wasmtime_component_val_t()
        error = _ffi.wasmtime_component_func_call(
            ctypes.byref(function._func), self._store._context(), None, 0, ctypes.byref(answer), 1
        )
        if bool(error):  # no null pointer
            raise WasmtimeError._from_ptr(error)
        try:
            return _tool_defs(answer.of.list, max_tools, max_bytes)
        finally:
            _ffi.wasmtime_component_val_delete(ctypes.byref(answer))

    def _function(self, index: ExportIndex) -> Func:
        function = self._instance.get_func(self._store, index)
        if function is None:
            raise BadValueError("an export is not a function")  # its type was checked when it was linked
        return function


def _index(component: Component, name: str, within: ExportIndex | None) -> ExportIndex:
    index = component.get_export_index(name, within)
    if index is None:
        raise BadValueError(f"{PLUGIN} has no {name}")
    return index


def _tool_defs(listed: Any, max_tools: int, max_bytes: int) -> list[ToolDef]:
    if listed.size > max_tools:
        raise BadValueError(f"list-tools declares {listed.size} tools; at most {max_tools} are allowed")
    defs = []
    left = max_bytes
    for i in range(listed.size):
        texts = []
        fields = listed.data[i].of.record
        for k in range(fields.size):
            raw = fields.data[k].val.of.string
            left -= raw.size
            if left < 0:
                raise BadValueError(f"list-tools declares more than {max_bytes} bytes")
            texts.append(ctypes.string_at(raw.data, raw.size).decode())
        name, label, description, parameters = texts
        defs.append(ToolDef(name=name, label=label, description=description, parameters_json=parameters))
    return defs
