"""One fresh instance of a component, and the three functions that it exports.

This is the seam behind which the way into wasmtime may change: the sandbox knows these methods only.
Instances come from wasmtime's public API. Its generic call would read the function's type again at every
call and turn a whole result into Python objects before anybody could measure it: 300,000 declared tools hold
the process for 15 seconds, where no epoch reaches. So results are read from the C values here, within bounds;
their shapes were compared with the world's when the component was linked.
"""

# ruff: noqa: SLF001 - wasmtime-py has no public way to a result that is not converted yet

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from wasmtime import Store, WasmtimeError, _ffi
from wasmtime.component import Component, ExportIndex, Linker

from penstock_workers.world import PLUGIN

if TYPE_CHECKING:
    from wasmtime.component import Instance

_Val = _ffi.wasmtime_component_val_t
_Octets = ctypes.POINTER(ctypes.c_uint8)
_STRING = _ffi.WASMTIME_COMPONENT_STRING

#: Bytes of an error of `init` that are read.
_ERROR_BYTES = 4096


class BadValueError(Exception):
    """The guest returned a value that cannot be read. Its text is ours."""


class Answer(NamedTuple):
    """What `call-tool` returned, unread."""

    #: UTF-8. Empty when it is longer than the caller wanted to read.
    content: bytes
    is_error: bool
    #: How long it is.
    size_bytes: int


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

    def init(self) -> str | None:
        """Initialise the plugin; returns its error.

        Raises:
            WasmtimeError: the guest trapped.
        """
        with _Result() as result:
            self._call(self._exports.init, None, 0, result)
            answer = result.value.of.result
            return None if answer.is_ok else _text(answer.val.contents, _ERROR_BYTES)

    def info(self) -> PluginInfo | str:
        """Initialise the plugin; returns what it says it is, or its error.

        Raises:
            WasmtimeError: the guest trapped.
        """
        with _Result() as result:
            self._call(self._exports.init, None, 0, result)
            answer = result.value.of.result
            if not answer.is_ok:
                return _text(answer.val.contents, _ERROR_BYTES)
            fields = answer.val.contents.of.record.data
            name, version = (_text(fields[k].val, _ERROR_BYTES) for k in range(2))
            return PluginInfo(name=name, version=version)

    def call_tool(self, name: bytes, args_json: bytes, max_bytes: int) -> Answer:
        """Call a tool. Both texts are UTF-8; content beyond `max_bytes` is not read.

        Raises:
            WasmtimeError: the guest trapped.
        """
        # wasmtime copies the arguments: they only have to outlive the call.
        args = (_Val * 2)()
        for arg, text in zip(args, (name, args_json), strict=True):
            arg.kind = _STRING
            arg.of.string.size = len(text)
            arg.of.string.data = ctypes.cast(ctypes.c_char_p(text), _Octets)
        with _Result() as result:
            self._call(self._exports.call_tool, args, 2, result)
            fields = result.value.of.record.data
            content = fields[0].val.of.string
            size: int = content.size
            return Answer(
                content=ctypes.string_at(content.data, size) if size <= max_bytes else b"",
                is_error=fields[1].val.of.boolean,
                size_bytes=size,
            )

    def list_tools(self, max_tools: int, max_bytes: int) -> list[ToolDef]:
        """The tools that the guest declares.

        Raises:
            WasmtimeError: the guest trapped.
            BadValueError: more tools, or longer texts, than anybody may declare.
        """
        with _Result() as result:
            self._call(self._exports.list_tools, None, 0, result)
            return _tool_defs(result.value.of.list, max_tools, max_bytes)

    def _call(self, index: ExportIndex, args: Any, count: int, result: _Result) -> None:
        function = self._instance.get_func(self._store, index)
        if function is None:  # its type was checked when it was linked
            raise BadValueError("an export is not a function")
        error = _ffi.wasmtime_component_func_call(
            ctypes.byref(function._func), self._store._context(), args, count, result.pointer, 1
        )
        if bool(error):  # no null pointer
            raise WasmtimeError._from_ptr(error)


class _Result:
    """Room for a result, which is wasmtime's memory and has to be given back."""

    __slots__ = ("pointer", "value")

    def __init__(self) -> None:
        self.value = _Val()  # all zero: the value `false`, which owns nothing
        self.pointer = ctypes.byref(self.value)

    def __enter__(self) -> _Result:
        return self

    def __exit__(self, *_: object) -> None:
        _ffi.wasmtime_component_val_delete(self.pointer)


def _index(component: Component, name: str, within: ExportIndex | None) -> ExportIndex:
    index = component.get_export_index(name, within)
    if index is None:
        raise BadValueError(f"{PLUGIN} has no {name}")
    return index


def _text(value: Any, max_bytes: int) -> str:
    raw = value.of.string
    return ctypes.string_at(raw.data, min(raw.size, max_bytes)).decode(errors="ignore")


def _tool_defs(listed: Any, max_tools: int, max_bytes: int) -> list[ToolDef]:
    if listed.size > max_tools:
        raise BadValueError(f"list-tools declares {listed.size} tools; at most {max_tools} are allowed")
    defs = []
    left = max_bytes
    for i in range(listed.size):
        fields = listed.data[i].of.record.data
        texts = [fields[k].val for k in range(4)]
        left -= sum(text.of.string.size for text in texts)
        if left < 0:
            raise BadValueError(f"list-tools declares more than {max_bytes} bytes")
        name, label, description, parameters = (_text(text, max_bytes) for text in texts)
        defs.append(ToolDef(name=name, label=label, description=description, parameters_json=parameters))
    return defs
