"""Calls from the guest into the host: values read with bounds, and never an exception.

wasmtime-py would convert every argument to Python before it calls a host function; a guest can hand over
millions of headers and hold the process for minutes, where no epoch reaches. It would also keep a host
function's exception in a global of the process. So host functions are entered here, on the C values
themselves: a function reads as much of an argument as it wants, and whatever goes wrong becomes a trap of
this guest.
"""

# ruff: noqa: SLF001 - wasmtime-py has no public way to the C values

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from wasmtime import StoreContext, WasmtimeError, _ffi
from wasmtime.component import FuncType, LinkerInstance, ResourceAny, ResourceHost

#: Starts the text of a trap that a host function asked for.
HOST_TRAP = "penstock: "

_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


class HostTrapError(Exception):
    """The guest is to trap, for this reason. Never carries text from the guest."""


class HostCall:
    """One call of a host function: its arguments, and the place for its result.

    Arguments stay owned by wasmtime; they are gone when the function returns.
    """

    __slots__ = ("_args", "_context", "_results", "_type")

    def __init__(self, context: Any, function_type: Any, args: Any, results: Any) -> None:
        self._context = context
        self._type = function_type
        self._args = args
        self._results = results

    def text(self, index: int, max_bytes: int) -> tuple[str, bool]:
        """A string or enum argument, at most `max_bytes` of it, and whether it was cut."""
        raw = self._args[index].of.string
        size: int = raw.size
        if size <= max_bytes:
            return ctypes.string_at(raw.data, size).decode(), False
        return ctypes.string_at(raw.data, max_bytes).decode(errors="ignore"), True

    def octets(self, index: int, max_bytes: int) -> bytes:
        """A `list<u8>` argument, at most `max_bytes` of it: every byte is a value of its own."""
        values = self._args[index].of.list
        return bytes(values.data[i].of.u8 for i in range(min(values.size, max_bytes)))

    def length(self, index: int) -> int:
        """How many elements a list argument has."""
        size: int = self._args[index].of.list.size
        return size

    def number(self, index: int) -> int:
        """A u64 argument."""
        value: int = self._args[index].of.u64
        return value

    def borrowed(self, index: int) -> int:
        """The number behind a resource of ours that is lent for this call.

        It has to be asked for, once: that gives the loan back, and a call that keeps one traps.
        """
        lent = self._args[index].of.resource
        host = ctypes.POINTER(_ffi.wasmtime_component_resource_host_t)()
        error = _ffi.wasmtime_component_resource_any_to_host(self._context, lent, ctypes.byref(host))
        if bool(error):  # no null pointer
            raise WasmtimeError._from_ptr(error)
        number: int = _ffi.wasmtime_component_resource_host_rep(host)
        _ffi.wasmtime_component_resource_host_delete(host)
        return number

    def reply(self, value: object) -> None:
        """The result, in the shape that wasmtime-py gives its type. For small values: it is slow."""
        with FuncType._from_ptr(self._type, owner=self) as function:
            result = function.result
            if result is None:
                raise HostTrapError("a function without a result has one")
            result.convert_to_c(StoreContext(self._context), value, self._results)

    def own(self, resource_id: int, number: int) -> ResourceAny:
        """A new handle for a resource of ours, to be replied."""
        return ResourceHost.own(number, resource_id).to_any(StoreContext(self._context))


def define(
    instance: LinkerInstance,
    name: str,
    function: Callable[[HostCall], None],
    on_error: Callable[[BaseException], None],
) -> object:
    """Define a host function in a linker.

    Args:
        instance: where the guest looks for it.
        name: how the guest calls it.
        function: reads its arguments and replies. What it raises traps the guest.
        on_error: is told what it raised, `HostTrapError` excepted.

    Returns:
        What must be kept alive for as long as the linker is.
    """

    def enter(_data: Any, context: Any, ty: Any, args: Any, _nargs: int, results: Any, _n: int) -> int:
        try:
            function(HostCall(context, ty, args, results))
        except HostTrapError as trap:
            return _trap(str(trap))
        except BaseException as error:  # noqa: BLE001 - nothing may pass through wasmtime's frames
            on_error(error)
            return _trap(f"{name} failed: {type(error).__name__}")
        return 0

    thunk = _ffi.wasmtime_component_func_callback_t(enter)
    encoded = name.encode()
    error = _ffi.wasmtime_component_linker_instance_add_func(
        instance.ptr(), ctypes.create_string_buffer(encoded), len(encoded), thunk, None, _NO_FINALIZER
    )
    if bool(error):  # no null pointer
        raise WasmtimeError._from_ptr(error)
    return thunk


def _trap(message: str) -> int:
    pointer = _ffi.wasmtime_error_new((HOST_TRAP + message).encode())
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0
