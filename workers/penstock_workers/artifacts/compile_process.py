"""The process that compiles WebAssembly to native code, and does nothing else with it.

`python -m penstock_workers.artifacts.compile_process REQUEST`, where REQUEST is the JSON of a
`CompileRequest`. It limits itself before it loads wasmtime, reads the module from one descriptor and writes
the native code to another. It runs no guest and knows no secrets. What is wrong goes to stderr, in words.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from importlib.metadata import version
from pathlib import Path

from penstock_workers.artifacts.compile_request import BAD_INSTALLATION, BAD_MODULE, CompileRequest
from penstock_workers.artifacts.trimming import trimmed
from penstock_workers.engine import EngineSettings, new_engine

_PR_SET_PDEATHSIG = 1


def main(request: CompileRequest) -> int:
    """Compile, within the limits of the request; returns the exit status."""
    _die_with(request.parent_pid)
    _limit(request)
    settings = EngineSettings(**request.settings)
    if settings.fingerprint != request.fingerprint or version("wasmtime") != request.wasmtime:
        return _fail(BAD_INSTALLATION, "The installation changed under the running worker: restart it.")

    # Imported here: after the limits are set.
    from wasmtime import Module, WasmtimeError
    from wasmtime.component import Component

    # Opened anew, since the position of the descriptor is shared with the parent.
    wasm = Path(f"/proc/self/fd/{request.wasm_fd}").read_bytes()
    engine = new_engine(settings)
    try:
        compiled = Component(engine, wasm) if request.kind == "component" else Module(engine, wasm)
        code = trimmed(compiled.serialize())
    except WasmtimeError as error:
        return _fail(BAD_MODULE, str(error))
    with open(request.code_fd, "wb", buffering=0) as target:
        rest = memoryview(code)
        while rest:
            rest = rest[target.write(rest) or 0 :]
    return 0


def _die_with(parent_pid: int) -> None:
    """A compile without its parent is of no use to anybody."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _limit(request: CompileRequest) -> None:
    """Bound what a hostile module can cost. RLIMIT_DATA counts what is really allocated, unlike RLIMIT_AS."""
    os.nice(10)  # calls that run at the same time go first
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (request.cpu_s, request.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_DATA, (request.memory_bytes, request.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.code_bytes, request.code_bytes))


def _fail(status: int, message: str) -> int:
    print(message, file=sys.stderr)  # noqa: T201 -- stderr is how this process answers
    return status


if __name__ == "__main__":
    sys.exit(main(CompileRequest.from_json(sys.argv[1])))
