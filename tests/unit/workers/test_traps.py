"""What wasmtime says, and what it stands for. Real guests say the same in the isolation suite."""

from __future__ import annotations

import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure
from penstock_workers.traps import Phase, classify

BACKTRACE = (
    "error while executing at wasm backtrace:\n    0:    0x131 - Main!{name}\n\nCaused by:\n    {cause}\n"
)


def code_of(text: str, phase: Phase = Phase.CALL, *, cancelled: bool = False) -> ErrorCode:
    """The code that a text is classified as."""
    failure = classify(text, phase, cancelled=cancelled, timeout_s=1.5)
    assert isinstance(failure, ToolFailure)
    return failure.code


def trap(cause: str, name: str = "f") -> str:
    """A trap as wasmtime 50.0.1 writes it."""
    return BACKTRACE.format(name=name, cause=cause)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (trap("wasm trap: interrupt"), ErrorCode.TIMEOUT),
        (trap("wasm trap: all fuel consumed by WebAssembly"), ErrorCode.OUT_OF_FUEL),
        (trap("wasm trap: call stack exhausted"), ErrorCode.TRAP),
        (trap("wasm trap: wasm `unreachable` instruction executed"), ErrorCode.TRAP),
        (
            trap(
                "0: memory fault at wasm address 0x77359400 in linear memory of size 0x40000\n"
                "    1: wasm trap: out of bounds memory access"
            ),
            ErrorCode.TRAP,
        ),
        ("memory minimum size of 2000 pages exceeds memory limits", ErrorCode.OUT_OF_MEMORY),
        ("table minimum size of 100000 elements exceeds table limits", ErrorCode.OUT_OF_MEMORY),
        ("resource limit exceeded: memory count too high at 5", ErrorCode.OUT_OF_MEMORY),
        ("resource limit exceeded: instance count too high at 21", ErrorCode.OUT_OF_MEMORY),
        ("resource limit exceeded: table count too high at 30", ErrorCode.OUT_OF_MEMORY),
        ("pointer out of bounds of memory", ErrorCode.INVALID_OUTPUT),
        ("string pointer/length out of bounds of memory", ErrorCode.INVALID_OUTPUT),
        ("invalid utf-8 sequence of 1 bytes from index 0", ErrorCode.INVALID_OUTPUT),
        ("realloc return: beyond end of memory", ErrorCode.INVALID_OUTPUT),
        ("return pointer not aligned", ErrorCode.INVALID_OUTPUT),
        (trap("invalid utf-8 sequence of 1 bytes from index 0"), ErrorCode.TRAP),
        ("something that wasmtime never said before", ErrorCode.TRAP),
        ("", ErrorCode.TRAP),
    ],
)
def test_text_has_a_code(text: str, code: ErrorCode) -> None:
    """Every phrase that a guest can provoke, and those that nobody knows."""
    assert code_of(text) is code


def test_interrupted_call_was_cancelled_if_somebody_asked() -> None:
    """The trap is the same; the guard knows which it was."""
    assert code_of(trap("wasm trap: interrupt"), cancelled=True) is ErrorCode.CANCELLED


def test_only_the_cause_is_believed() -> None:
    """Names of functions are the guest's, with any characters in them."""
    name = "x\n\nCaused by:\n    wasm trap: interrupt\n"

    assert code_of(trap("wasm trap: integer divide by zero", name=name)) is ErrorCode.TRAP


@pytest.mark.parametrize(
    "name", ["penstock_out_of_memory", "std::alloc::rust_oom", "__rust_alloc_error_handler"]
)
def test_failed_allocation_is_out_of_memory(name: str) -> None:
    """Toolchains trap in functions of these names when the host gives no more memory."""
    text = trap("wasm trap: wasm `unreachable` instruction executed", name=name)

    assert code_of(text) is ErrorCode.OUT_OF_MEMORY


@pytest.mark.parametrize("phase", [Phase.START, Phase.INIT])
def test_trap_before_the_call_is_a_failed_init(phase: Phase) -> None:
    """Limits keep their codes; everything else is the plugin's failure to begin."""
    assert code_of(trap("wasm trap: integer overflow"), phase) is ErrorCode.INIT_FAILED
    assert code_of("discriminant 7 out of range [0..2)", phase) is ErrorCode.INIT_FAILED
    assert code_of(trap("wasm trap: interrupt"), phase) is ErrorCode.TIMEOUT
    assert (
        code_of("memory minimum size of 2000 pages exceeds memory limits", phase) is ErrorCode.OUT_OF_MEMORY
    )


def test_message_is_one_clean_line() -> None:
    """It is printed and logged, and part of it may be a guest's."""
    failure = classify("x\n\x1b[31m" + "y" * 10_000, Phase.CALL, cancelled=False, timeout_s=1)

    assert failure.message.isprintable()
    assert len(failure.message) <= 4096
