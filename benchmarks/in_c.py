"""A call in C against the library that wasmtime-py has loaded: what is left when there is no Python in it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path

from wasmtime import _ffi

from penstock_workers.guest import StoreLimits
from penstock_workers.lean.guest import LeanPath

#: In the order in which `in_process.c` counts them.
PHASES = ("store", "instantiate", "init", "call-tool", "delete")


class _Call(ctypes.Structure):
    _fields_ = [
        ("engine", c_void_p),
        ("linker", c_void_p),
        ("component", c_void_p),
        ("init", c_void_p),
        ("call_tool", c_void_p),
        ("limits", c_int64 * 5),
        ("fuel", c_int64),
        ("tool", c_char_p),
        ("params", c_char_p),
        ("tool_size", c_size_t),
        ("params_size", c_size_t),
        ("answer", POINTER(c_char)),
        ("answer_room", c_size_t),
    ]


@cache
def program() -> ctypes.CDLL | None:
    """The C side, compiled now. None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = Path(_ffi.dll._name)  # noqa: SLF001 - the file that wasmtime-py has loaded
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "in_process.so"
        source = Path(__file__).with_name("in_process.c")
        linked = (f"-L{library.parent}", f"-l:{library.name}", f"-Wl,-rpath,{library.parent}")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", target, source, *linked], check=True)
        made = ctypes.CDLL(str(target))
    made.calls.restype = c_int64
    made.calls.argtypes = [POINTER(_Call), c_int64, POINTER(c_double * len(PHASES))]
    return made


class CallInC:
    """One plugin's call in C; the path lends its engine, its linker and its indexes."""

    def __init__(
        self, path: LeanPath, limits: StoreLimits, fuel: int | None, tool: bytes, params: bytes
    ) -> None:
        self._path = path
        self._answer = ctypes.create_string_buffer(1 << 22)
        self._call = _Call(
            engine=path.engine,
            linker=path.linker,
            component=path.component,
            init=path.init,
            call_tool=path.call_tool,
            limits=(c_int64 * 5)(*limits),
            fuel=-1 if fuel is None else fuel,
            tool=tool,
            params=params,
            tool_size=len(tool),
            params_size=len(params),
            answer=self._answer,
            answer_room=len(self._answer),
        )

    def run(self, calls: int) -> bytes:
        """So many calls; returns the last answer."""
        return self._run(calls, None)

    def phases_us(self, calls: int) -> list[float]:
        """Microseconds of each phase of so many calls, together."""
        spent = (c_double * len(PHASES))()
        self._run(calls, byref(spent))
        return list(spent)

    def _run(self, calls: int, phases: object) -> bytes:
        made = program()
        if made is None:
            raise RuntimeError("there is no C compiler")
        size = made.calls(byref(self._call), calls, phases)
        if size < 0:
            raise RuntimeError("the call failed in C")
        return self._answer.raw[:size]
