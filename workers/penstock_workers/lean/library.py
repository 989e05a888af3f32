"""wasmtime's C functions, declared once more: every pointer is a plain number, so that nothing is converted.

Through wasmtime-py's own declarations a call is three quarters Python: it builds pointer objects, reads the
function's type again, and turns values into objects. The layouts here were written down for one version;
`problem` compares them with what wasmtime-py says about the library that is loaded.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from ctypes import c_bool, c_char_p, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from importlib.metadata import version
from typing import Any

from wasmtime import WasmtimeError, _ffi

from penstock_workers.engine import WASMTIME_VERSION

_LIBRARY: str = _ffi.dll._name  # noqa: SLF001 - the file that wasmtime-py has loaded

#: Lets other threads run meanwhile: the guard's timer, the lease's heartbeat.
_slow = ctypes.CDLL(_LIBRARY)
#: Keeps the interpreter's lock, for what takes less time than handing the lock over.
_quick = ctypes.PyDLL(_LIBRARY)


def _bind(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]
    function.restype = result
    function.argtypes = arguments
    return function


store_new = _bind(_quick, "wasmtime_store_new", c_void_p, c_void_p, c_void_p, c_void_p)
store_context = _bind(_quick, "wasmtime_store_context", c_void_p, c_void_p)
store_limiter = _bind(
    _quick, "wasmtime_store_limiter", None, c_void_p, c_int64, c_int64, c_int64, c_int64, c_int64
)
#: Gives memory back to the kernel, which takes as long as there is memory.
store_delete = _bind(_slow, "wasmtime_store_delete", None, c_void_p)
set_fuel = _bind(_quick, "wasmtime_context_set_fuel", c_void_p, c_void_p, c_uint64)
get_fuel = _bind(_quick, "wasmtime_context_get_fuel", c_void_p, c_void_p, c_void_p)
set_epoch_deadline = _bind(_quick, "wasmtime_context_set_epoch_deadline", None, c_void_p, c_uint64)
#: Runs start functions.
instantiate = _bind(
    _slow, "wasmtime_component_linker_instantiate", c_void_p, c_void_p, c_void_p, c_void_p, c_void_p
)
get_func = _bind(
    _quick, "wasmtime_component_instance_get_func", c_bool, c_void_p, c_void_p, c_void_p, c_void_p
)
func_call = _bind(
    _slow,
    "wasmtime_component_func_call",
    *(c_void_p, c_void_p, c_void_p, c_void_p, c_size_t, c_void_p, c_size_t),
)
val_delete = _bind(_quick, "wasmtime_component_val_delete", None, c_void_p)

#: Kinds of values, as numbers.
BOOL: int = _ffi.WASMTIME_COMPONENT_BOOL.value
STRING: int = _ffi.WASMTIME_COMPONENT_STRING.value
RECORD: int = _ffi.WASMTIME_COMPONENT_RECORD.value
RESULT: int = _ffi.WASMTIME_COMPONENT_RESULT.value
LIST: int = _ffi.WASMTIME_COMPONENT_LIST.value


class Texts(ctypes.Structure):
    """Two string values, one after the other: the arguments of `call-tool`.

    A pointer of type `c_char_p` takes the address inside of a `bytes` object, and keeps that object.
    """

    _fields_ = [
        ("first_kind", c_uint8),
        ("first_size", c_size_t),
        ("first", c_char_p),
        ("_rest", c_uint64),
        ("second_kind", c_uint8),
        ("second_size", c_size_t),
        ("second", c_char_p),
        ("_rest_2", c_uint64),
    ]


#: A text's or a list's value: its kind, its size, and where it is.
SEQUENCE_VALUE = struct.Struct("@B7xQQ8x")
#: A record's value: its kind, how many fields it has, and where they are.
RECORD_VALUE = struct.Struct("@B7xQQ")
#: The two fields of a tool's result, names left out: kind, size and address of the text; kind and flag.
RESULT_FIELDS = struct.Struct("@16xB7xQQ8x16xB7x?15x8x")
#: A result's value: its kind, and whether it is good.
RESULT_VALUE = struct.Struct("@B7x?")

#: The memory of this process by its addresses: quicker to read from than `string_at`, and as careless.
MEMORY = memoryview((ctypes.c_char * sys.maxsize).from_address(0)).cast("B")


def address(pointer: Any) -> int:
    """The number behind a pointer of wasmtime-py."""
    return ctypes.cast(pointer, c_void_p).value or 0


def wasmtime_error(error: int) -> WasmtimeError:
    """The exception that wasmtime-py would raise for this error; it owns the error from now on."""
    pointer = ctypes.cast(error, ctypes.POINTER(_ffi.wasmtime_error_t))
    return WasmtimeError._from_ptr(pointer)  # noqa: SLF001 - so that its text is the same


def problem() -> str | None:
    """Why the library that is loaded is not the one that this was written for."""
    found = version("wasmtime")
    if found != WASMTIME_VERSION:
        return f"wasmtime is {found}, and not {WASMTIME_VERSION}"
    val: Any
    entry: Any
    union: Any
    record: Any
    result: Any
    text: Any
    val, entry, union = (
        _ffi.wasmtime_component_val_t,
        _ffi.wasmtime_component_valrecord_entry_t,
        _ffi.wasmtime_component_valunion_t,
    )
    record, result, text = (
        _ffi.wasmtime_component_valrecord_t,
        _ffi.wasmtime_component_valresult_t,
        _ffi.wasm_name_t,
    )
    listed: Any = _ffi.wasmtime_component_vallist_t
    layouts = {
        "a list": ((listed.size.offset, listed.data.offset), (0, 8)),
        "a list's value": (SEQUENCE_VALUE.size, ctypes.sizeof(val)),
        "a pointer": (ctypes.sizeof(c_void_p), 8),
        "a value": (ctypes.sizeof(val), 32),
        "a value's kind": (val.kind.offset, 0),
        "a value's content": (val.of.offset, 8),
        "the contents' size": (ctypes.sizeof(union), 24),
        "a text": ((text.size.offset, text.data.offset, ctypes.sizeof(text)), (0, 8, 16)),
        "a record": ((record.size.offset, record.data.offset), (0, 8)),
        "a field": ((entry.name.offset, entry.val.offset, ctypes.sizeof(entry)), (0, 16, 48)),
        "a result": ((result.is_ok.offset, result.val.offset), (0, 8)),
        "two arguments": (ctypes.sizeof(Texts), 2 * ctypes.sizeof(val)),
        "the second argument": (Texts.second_kind.offset, ctypes.sizeof(val)),
        "two fields": (RESULT_FIELDS.size, 2 * ctypes.sizeof(entry)),
        "the value that owns nothing": (BOOL, 0),
        "an instance": (ctypes.sizeof(_ffi.wasmtime_component_instance_t), 16),
        "a function": (ctypes.sizeof(_ffi.wasmtime_component_func_t), 32),
    }
    different = [what for what, (theirs, ours) in layouts.items() if theirs != ours]
    return f"the layout of {', '.join(different)} is another" if different else None
