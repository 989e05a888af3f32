"""Starts the process that compiles, watches its limits, and says in words why it failed.

Compiling is the one thing that a plugin makes a host do before any limit of a call applies, and wasmtime
does not promise that it is quick. So it happens in a process of its own that can be killed.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass

from penstock_plugins.errors import ArtifactError, CompileError
from penstock_plugins.limits import MIB
from penstock_workers.artifacts.compile_request import BAD_MODULE, CompileRequest
from penstock_workers.artifacts.identity import wasmtime_version
from penstock_workers.artifacts.memfd import SEALS, new_memfd, sealed_bytes
from penstock_workers.engine import PLAIN, EngineSettings

#: The first eight bytes of each kind of binary. Text is refused: its parser is no part of this.
PREAMBLES = {"component": b"\0asm\x0d\x00\x01\x00", "core": b"\0asm\x01\x00\x00\x00"}

#: What the process gets to see of our environment: what Python needs to start, and no secrets.
_ENVIRONMENT = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "TMPDIR",
    "VIRTUAL_ENV",
)

#: Bytes of the process's complaint that are read.
_COMPLAINT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileLimits:
    """What compiling one module may cost."""

    #: Bytes of the WebAssembly. What componentize-py makes has 18 MB.
    wasm_bytes: int = 64 * MIB
    #: Bytes of the native code.
    code_bytes: int = 512 * MIB
    #: Seconds until the process is killed, waits for a busy host included.
    wall_s: float = 240.0
    #: Seconds of CPU, over all its threads.
    cpu_s: int = 480
    #: Bytes that it may allocate; an 18 MB module takes 460 MB on two cores, and each core adds some.
    memory_bytes: int = 2048 * MIB


def compile_wasm(
    wasm: bytes,
    settings: EngineSettings = PLAIN,
    *,
    kind: str = "component",
    limits: CompileLimits | None = None,
) -> int:
    """Native code of this module, in a sealed memfd that the caller closes.

    Raises:
        CompileError: the module is no such module, or costs more than the limits.
        ArtifactError: the process could not do its work, whatever the module.
    """
    limits = limits or CompileLimits()
    _check_outside(wasm, kind, limits)
    wasm_fd = sealed_bytes("penstock-wasm", wasm)
    try:
        code_fd = new_memfd("penstock-code")
        try:
            _run_process(wasm_fd, code_fd, settings, kind, limits)
            fcntl.fcntl(code_fd, fcntl.F_ADD_SEALS, SEALS)
        except BaseException:
            os.close(code_fd)
            raise
    finally:
        os.close(wasm_fd)
    return code_fd


def _check_outside(wasm: bytes, kind: str, limits: CompileLimits) -> None:
    """What can be refused without starting anything."""
    if kind not in PREAMBLES:
        raise CompileError(f"Plugins of kind '{kind}' are not compiled here.")
    if len(wasm) > limits.wasm_bytes:
        raise CompileError(f"The module has {len(wasm)} bytes; at most {limits.wasm_bytes} are compiled.")
    if wasm[:8] == PREAMBLES[kind]:
        return
    if wasm[:8] in PREAMBLES.values():
        raise CompileError(f"Failed to compile WASM module: it is WebAssembly, but no {kind}.")
    raise CompileError("Failed to compile WASM module: it does not begin like a WebAssembly binary.")


def _run_process(
    wasm_fd: int, code_fd: int, settings: EngineSettings, kind: str, limits: CompileLimits
) -> None:
    request = CompileRequest(
        wasm_fd=wasm_fd,
        code_fd=code_fd,
        kind=kind,
        settings=asdict(settings),
        fingerprint=settings.fingerprint,
        wasmtime=wasmtime_version(),
        parent_pid=os.getpid(),
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_bytes,
        code_bytes=limits.code_bytes,
    )
    # A memfd rather than a pipe: nobody has to read while it runs, and its size is limited.
    complaint_fd = new_memfd("penstock-complaint")
    try:
        process = subprocess.Popen(
            # -P: what lies in the current directory is never imported.
            [sys.executable, "-P", "-m", "penstock_workers.artifacts.compile_process", request.to_json()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaint_fd,
            pass_fds=(wasm_fd, code_fd),
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # Ctrl-C on the worker's terminal is the worker's to handle
        )
        try:
            status = process.wait(limits.wall_s)
        except BaseException as error:
            process.kill()
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise CompileError(f"Compiling took longer than {limits.wall_s:g} s.") from None
            raise
        if status != 0:
            raise _failure(status, _tail(complaint_fd), limits)
        if os.fstat(code_fd).st_size == 0:
            raise ArtifactError("The compile process ended without native code.")
    finally:
        os.close(complaint_fd)


def _tail(fd: int) -> str:
    """The end of what the process said: the beginning of a traceback says less."""
    start = max(0, os.fstat(fd).st_size - _COMPLAINT_BYTES)
    return os.pread(fd, _COMPLAINT_BYTES, start).decode(errors="replace")


def _failure(status: int, complaint: str, limits: CompileLimits) -> ArtifactError:
    """Why the process ended with this status."""
    complaint = "; ".join(line.strip() for line in complaint.splitlines() if line.strip()).replace(":;", ":")
    complaint = "".join(c if c.isprintable() else " " for c in complaint)
    if status == BAD_MODULE:
        return CompileError(f"Failed to compile WASM module: {complaint[:2000]}")
    if "memory allocation" in complaint or "MemoryError" in complaint:
        return CompileError(f"Compiling needs more memory than {limits.memory_bytes // MIB} MiB.")
    if status == -signal.SIGXCPU:
        return CompileError(f"Compiling takes more than {limits.cpu_s} s of CPU.")
    if status == -signal.SIGXFSZ or "File too large" in complaint:
        return CompileError(f"The native code is larger than {limits.code_bytes // MIB} MiB.")
    if status < 0:  # the compiler crashed, or the host's memory ran out: the module made it so
        return CompileError(
            f"The compile process was ended by {signal.Signals(-status).name}. {complaint[-500:]}"
        )
    return ArtifactError(f"The compile process ended with status {status}: {complaint[-500:]}")
