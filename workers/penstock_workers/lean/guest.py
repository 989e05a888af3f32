"""One call on the lean path: plain numbers for pointers, structures that are made once, no conversion.

A plugin has one set of structures, since it has one call at a time; they are touched from `start` on, when
the guard has seen to that. Arguments point into the caller's bytes: wasmtime copies them.
"""

from __future__ import annotations

from ctypes import addressof, c_uint64
from typing import TYPE_CHECKING

from wasmtime import _ffi

from penstock_workers.guard import EPOCH_STEPS
from penstock_workers.guest import Answer, BadValueError, StoreLimits
from penstock_workers.guest_values import read_info, read_tools
from penstock_workers.lean.batch import BatchArguments, read_answers
from penstock_workers.lean.library import (
    BOOL,
    MEMORY,
    RECORD,
    RECORD_VALUE,
    RESULT,
    RESULT_FIELDS,
    RESULT_VALUE,
    STRING,
    Texts,
    address,
    func_call,
    get_fuel,
    get_func,
    instantiate,
    set_epoch_deadline,
    set_fuel,
    store_context,
    store_delete,
    store_limiter,
    store_new,
    val_delete,
    wasmtime_error,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmtime import Engine
    from wasmtime.component import Component, Linker

    from penstock_workers.guest import Exports, PluginInfo, ToolDef


class LeanPath:
    """One linked plugin's way to fresh instances, by wasmtime's C functions."""

    __slots__ = (
        "_owners",
        "args",
        "at_args",
        "at_fuel",
        "at_func",
        "at_instance",
        "at_result",
        "call_batch",
        "call_tool",
        "component",
        "engine",
        "fuel",
        "func",
        "init",
        "instance",
        "linker",
        "list_tools",
        "result",
    )

    def __init__(self, engine: Engine, linker: Linker, component: Component, exports: Exports) -> None:
        #: What the numbers below point to.
        self._owners = (engine, linker, component, exports)
        self.engine = address(engine.ptr())
        self.linker = address(linker.ptr())
        self.component = address(component.ptr())
        self.init = address(exports.init.ptr())
        self.list_tools = address(exports.list_tools.ptr())
        self.call_tool = address(exports.call_tool.ptr())
        self.call_batch = 0 if exports.call_batch is None else address(exports.call_batch.ptr())
        self.instance = _ffi.wasmtime_component_instance_t()
        self.func = _ffi.wasmtime_component_func_t()
        self.args = Texts(first_kind=STRING, second_kind=STRING)
        self.result = _ffi.wasmtime_component_val_t()
        self.fuel = c_uint64()
        self.at_instance = addressof(self.instance)
        self.at_func = addressof(self.func)
        self.at_args = addressof(self.args)
        self.at_result = addressof(self.result)
        self.at_fuel = addressof(self.fuel)

    def enter(self, limits: StoreLimits, fuel: int | None) -> LeanGuest:
        """See `GuestPath`."""
        return LeanGuest(self, limits, fuel)


class LeanGuest:
    """See `Guest`."""

    __slots__ = ("_context", "_path", "_store")

    def __init__(self, path: LeanPath, limits: StoreLimits, fuel: int | None) -> None:
        self._path = path
        self._store = store = store_new(path.engine, None, None)
        self._context = context = store_context(store)
        store_limiter(store, *limits)
        if fuel is not None and (error := set_fuel(context, fuel)):
            store_delete(store)
            raise wasmtime_error(error)
        set_epoch_deadline(context, EPOCH_STEPS)

    def start(self) -> None:
        """See `Guest`."""
        path = self._path
        error = instantiate(path.linker, self._context, path.component, path.at_instance)
        if error:
            raise wasmtime_error(error)

    def init(self) -> str | None:
        """See `Guest`."""
        path = self._path
        self._call(path.init, None, 0)
        try:
            kind, is_ok = RESULT_VALUE.unpack_from(path.result)
            if kind != RESULT:
                raise BadValueError("init returned no result")
            if is_ok:
                return None
            told = read_info(path.result)
            return told if isinstance(told, str) else None
        finally:
            val_delete(path.at_result)

    def info(self) -> PluginInfo | str:
        """See `Guest`."""
        path = self._path
        self._call(path.init, None, 0)
        try:
            return read_info(path.result)
        finally:
            val_delete(path.at_result)

    def call_tool(self, name: bytes, args_json: bytes, max_bytes: int) -> Answer:
        """See `Guest`."""
        path = self._path
        args = path.args
        args.first_size = len(name)
        args.first = name
        args.second_size = len(args_json)
        args.second = args_json
        try:
            self._call(path.call_tool, path.at_args, 2)
        finally:
            args.second = None  # params do not outlive their call
        try:
            kind, count, fields = RECORD_VALUE.unpack_from(path.result)
            if kind != RECORD or count != 2:
                raise BadValueError("call-tool returned no tool-result")
            text, size, at, flag, is_error = RESULT_FIELDS.unpack_from(MEMORY, fields)
            if text != STRING or flag != BOOL:
                raise BadValueError("call-tool returned another tool-result")
            return Answer(MEMORY[at : at + size].tobytes() if size <= max_bytes else b"", is_error, size)
        finally:
            val_delete(path.at_result)

    def call_batch(self, name: bytes, args_json: Sequence[bytes], max_bytes: int) -> list[Answer]:
        """See `Guest`."""
        path = self._path
        if not path.call_batch:
            raise BadValueError("there is no batch entry point")
        arguments = BatchArguments(name, args_json)
        self._call(path.call_batch, arguments.at, 2)
        try:
            return read_answers(path.at_result, len(args_json), max_bytes)
        finally:
            val_delete(path.at_result)

    def list_tools(self, max_tools: int, max_bytes: int) -> list[ToolDef]:
        """See `Guest`."""
        path = self._path
        self._call(path.list_tools, None, 0)
        try:
            return read_tools(path.result, max_tools, max_bytes)
        finally:
            val_delete(path.at_result)

    def fuel_left(self) -> int:
        """See `Guest`."""
        path = self._path
        if error := get_fuel(self._context, path.at_fuel):
            raise wasmtime_error(error)
        return path.fuel.value

    def close(self) -> None:
        """See `Guest`."""
        store_delete(self._store)

    def _call(self, index: int, args: int | None, count: int) -> None:
        path = self._path
        context = self._context
        if not get_func(path.at_instance, context, index, path.at_func):
            raise BadValueError("an export is not a function")  # its type was checked when it was linked
        # wasmtime lets go of what is there before it writes a result, and what is there is gone already.
        path.result.kind = BOOL
        error = func_call(path.at_func, context, args, count, path.at_result, 1)
        if error:
            raise wasmtime_error(error)
