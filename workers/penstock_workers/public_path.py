"""The way through wasmtime's Python API: slower, and right wherever that API is.

What the lean path is compared with, and what takes its place where the library is not the one that it was
written for. Only lists are read from the C values, by wasmtime-py's own declarations of them: see
`guest_values`.
"""

# ruff: noqa: SLF001 - wasmtime-py has no public way to a result that is not converted yet

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wasmtime import Store, WasmtimeError, _ffi

from penstock_workers.guard import EPOCH_STEPS
from penstock_workers.guest import ERROR_BYTES, Answer, BadValueError, Exports, PluginInfo, StoreLimits
from penstock_workers.guest_values import batch_arguments, read_answers, read_tools

if TYPE_CHECKING:
    from wasmtime import Engine
    from wasmtime.component import Component, ExportIndex, Func, Instance, Linker

    from penstock_workers.guest import ToolDef


class PublicPath:
    """One linked plugin's way to fresh instances, by wasmtime's Python API."""

    __slots__ = ("_component", "_engine", "_exports", "_linker")

    def __init__(self, engine: Engine, linker: Linker, component: Component, exports: Exports) -> None:
        self._engine = engine
        self._linker = linker
        self._component = component
        self._exports = exports

    def enter(self, limits: StoreLimits, fuel: int | None) -> PublicGuest:
        """See `GuestPath`."""
        store = Store(self._engine)
        store.set_limits(
            memory_size=limits.memory_bytes,
            table_elements=limits.table_elements,
            instances=limits.instances,
            tables=limits.tables,
            memories=limits.memories,
        )
        if fuel is not None:
            store.set_fuel(fuel)
        store.set_epoch_deadline(EPOCH_STEPS)
        return PublicGuest(store, self._linker, self._component, self._exports)


class PublicGuest:
    """See `Guest`."""

    __slots__ = ("_component", "_exports", "_instance", "_linker", "_store")

    _instance: Instance

    def __init__(self, store: Store, linker: Linker, component: Component, exports: Exports) -> None:
        self._store = store
        self._linker = linker
        self._component = component
        self._exports = exports

    def start(self) -> None:
        """See `Guest`."""
        self._instance = self._linker.instantiate(self._store, self._component)

    def init(self) -> str | None:
        """See `Guest`."""
        told = self.info()
        return told if isinstance(told, str) else None

    def info(self) -> PluginInfo | str:
        """See `Guest`."""
        told: Any = self._function(self._exports.init)(self._store)
        if isinstance(told, str):
            return _cut(told)
        return PluginInfo(name=_cut(told.name), version=_cut(told.version))

    def call_tool(self, name: bytes, args_json: bytes, max_bytes: int) -> Answer:
        """See `Guest`."""
        told: Any = self._function(self._exports.call_tool)(self._store, name.decode(), args_json.decode())
        content = getattr(told, "content-json").encode()
        size = len(content)
        return Answer(content if size <= max_bytes else b"", getattr(told, "is-error"), size)

    def call_batch(self, name: bytes, args_json: Sequence[bytes], max_bytes: int) -> list[Answer]:
        """See `Guest`."""
        if self._exports.call_batch is None:
            raise BadValueError("there is no batch entry point")
        arguments, _kept = batch_arguments(name, args_json)
        with self._called(self._exports.call_batch, arguments, 2) as listed:
            return read_answers(listed, len(args_json), max_bytes)

    def list_tools(self, max_tools: int, max_bytes: int) -> list[ToolDef]:
        """See `Guest`."""
        with self._called(self._exports.list_tools, None, 0) as listed:
            return read_tools(listed, max_tools, max_bytes)

    @contextmanager
    def _called(self, index: ExportIndex, arguments: Any, count: int) -> Iterator[Any]:
        """A function's result, not converted yet."""
        function = ctypes.byref(self._function(index)._func)
        result = _ffi.wasmtime_component_val_t()  # all zero: the value `false`, which owns nothing
        error = _ffi.wasmtime_component_func_call(
            function, self._store._context(), arguments, count, ctypes.byref(result), 1
        )
        if bool(error):  # no null pointer
            raise WasmtimeError._from_ptr(error)
        try:
            yield result
        finally:
            _ffi.wasmtime_component_val_delete(ctypes.byref(result))

    def fuel_left(self) -> int:
        """See `Guest`."""
        return self._store.get_fuel()

    def close(self) -> None:
        """See `Guest`."""
        self._store.close()

    def _function(self, index: ExportIndex) -> Func:
        function = self._instance.get_func(self._store, index)
        if function is None:  # its type was checked when it was linked
            raise BadValueError("an export is not a function")
        return function


def _cut(text: str) -> str:
    return text.encode()[:ERROR_BYTES].decode(errors="ignore")
