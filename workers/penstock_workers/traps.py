"""What wasmtime's words mean: the text of an error to the code of a failure.

The Python API has no trap codes for component calls, only text, and part of that text was written by the
guest (names of its functions, with any characters it likes). So only what follows the last "Caused by" is
read; tests pin every phrase to the wasmtime version that we run.
"""

from __future__ import annotations

import re
from enum import Enum

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure
from penstock_workers.text import clean


class Phase(Enum):
    """What the guest was doing."""

    START = "start"
    INIT = "init"
    CALL = "call"


#: How wasmtime begins the line that says which trap it was, and the codes of those that are limits.
_TRAP = "wasm trap: "
_INTERRUPT = "interrupt"
_LIMITS = {
    "all fuel consumed by WebAssembly": (ErrorCode.OUT_OF_FUEL, "The guest used up its fuel"),
    "call stack exhausted": (ErrorCode.TRAP, "The guest recursed too deeply: call stack exhausted"),
    "allocation size too large": (ErrorCode.OUT_OF_MEMORY, "The guest asked for more memory than exists"),
}

#: Errors that are no traps: what the store's limiter refuses, and values that break the canonical ABI. The
#: latter come without a backtrace when it is the result that cannot be read; in a call of the host they are
#: like any other trap.
_MEMORY = re.compile(
    r"^(memory|table) minimum size of \d+ (pages|elements) exceeds (memory|table) limits"
    r"|^resource limit exceeded: (memory|table|instance) count too high"
)
_BAD_VALUE = re.compile(
    r"invalid utf-8|out of bounds of memory|not aligned|discriminant \d+ out of range|beyond end of memory"
    r"|invalid utf-16|incomplete utf-|unpaired surrogate|converted integer out of range|too large"
)

#: wasmtime copies 128 MiB at most across the boundary in one call.
_TOO_MUCH_DATA = "fuel allocated for hostcalls has been exhausted"

#: What only a call can end with; before it, `init` has failed.
_OF_A_CALL = frozenset({ErrorCode.TRAP, ErrorCode.INVALID_OUTPUT, ErrorCode.OUTPUT_TOO_LARGE})

#: Functions whose trap means that an allocation failed: ours, and those of the toolchains we know. A guest
#: that names a function so only speaks about itself.
_ALLOCATION_FAILED = re.compile(
    r"\b(?:penstock_out_of_memory|rust_oom|__rust_alloc_error_handler|handle_alloc_error)\b"
)


def classify(text: str, phase: Phase, *, cancelled: bool, timeout_s: float) -> ToolFailure:
    """The failure that an error of wasmtime stands for.

    Args:
        text: the whole text of the error.
        phase: what the guest was doing; a trap outside a call is INIT_FAILED.
        cancelled: whether the guard stopped this call because somebody asked for it.
        timeout_s: the time that the call had, for the message.
    """
    backtrace, _, cause = text.rpartition("Caused by:")
    cause = cause.strip()
    _, is_trap, trap = cause.rpartition(_TRAP)
    trap = trap.strip()
    if is_trap and trap == _INTERRUPT:
        if cancelled:
            return ToolFailure(code=ErrorCode.CANCELLED, message="The call was cancelled")
        return ToolFailure(code=ErrorCode.TIMEOUT, message=f"The call was stopped after {timeout_s:g} s")
    if is_trap and trap in _LIMITS:
        code, message = _LIMITS[trap]
        return _in_phase(code, message, phase)
    if is_trap and _ALLOCATION_FAILED.search(backtrace):
        return ToolFailure(code=ErrorCode.OUT_OF_MEMORY, message="The guest ran out of memory")
    if not is_trap and _MEMORY.search(cause):
        message = f"The guest asked for too much: {clean(cause)}"
        return ToolFailure(code=ErrorCode.OUT_OF_MEMORY, message=message)
    if not backtrace and _TOO_MUCH_DATA in cause:
        return _in_phase(ErrorCode.OUTPUT_TOO_LARGE, "The guest's output is larger than any limit", phase)
    if not backtrace and _BAD_VALUE.search(cause):
        message = f"The guest handed over a value that cannot be read: {clean(cause)}"
        return _in_phase(ErrorCode.INVALID_OUTPUT, message, phase)
    return _in_phase(ErrorCode.TRAP, clean(f"The guest trapped: {trap or cause}"), phase)


def _in_phase(code: ErrorCode, message: str, phase: Phase) -> ToolFailure:
    if phase is not Phase.CALL and code in _OF_A_CALL:
        return ToolFailure(code=ErrorCode.INIT_FAILED, message=f"plugin init failed: {message}")
    return ToolFailure(code=code, message=message)
