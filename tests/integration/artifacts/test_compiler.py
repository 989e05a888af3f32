"""Compiling in a process of its own, and everything that can be wrong with what is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import wasmtime

from penstock_plugins.errors import ArtifactError, CompileError
from penstock_plugins.limits import MIB
from penstock_workers.artifacts.compiler import CompileLimits, compile_wasm
from penstock_workers.artifacts.memfd import is_sealed
from penstock_workers.engine import METERED, PLAIN, EngineSettings
from tests.support.waiting import wait_until

#: Runs native code in a process that has never compiled anything, as a pool process does.
RUN = """
import sys
from penstock_workers.engine import EngineSettings, new_engine
from wasmtime import Store
from wasmtime.component import Component, Linker
engine = new_engine(EngineSettings(fuel=sys.argv[2] == "True"))
component = Component.deserialize_file(engine, f"/proc/self/fd/{sys.argv[1]}")
store = Store(engine)
store.set_epoch_deadline(1)
if sys.argv[2] == "True":
    store.set_fuel(10_000)
print(Linker(engine).instantiate(store, component).get_func(store, "seven")(store))
"""

#: Compiles a component whose path it is given.
COMPILE = """
import sys
from penstock_workers.artifacts.compiler import compile_wasm
compile_wasm(open(sys.argv[1], "rb").read())
"""


def compile_error(wasm: bytes, *, kind: str = "component", limits: CompileLimits | None = None) -> str:
    with pytest.raises(CompileError) as caught:
        compile_wasm(wasm, kind=kind, limits=limits)
    return str(caught.value)


@pytest.mark.parametrize("settings", [PLAIN, METERED])
def test_native_code_runs_in_another_process(seven: bytes, settings: EngineSettings) -> None:
    """It comes in sealed memory, and an engine of the same settings maps it from there."""
    fd = compile_wasm(seven, settings)

    assert is_sealed(fd)
    run = subprocess.run(
        [sys.executable, "-c", RUN, str(fd), str(settings.fuel)],
        pass_fds=(fd,),
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(fd)

    assert run.stdout == "7\n", run.stderr


def test_a_core_module_is_compiled_when_it_is_asked_for() -> None:
    """The other kind of plugin takes the same way."""
    fd = compile_wasm(bytes(wasmtime.wat2wasm("(module)")), kind="core")

    assert os.fstat(fd).st_size > 0
    os.close(fd)


@pytest.mark.parametrize(
    ("wasm", "words"),
    [
        (b"", "does not begin like a WebAssembly binary"),
        (b"(component)", "does not begin like a WebAssembly binary"),
        (b"\x7fELF" + bytes(60), "does not begin like a WebAssembly binary"),
        (b"\0asm\x01\0\0\0", "it is WebAssembly, but no component"),
        (b"\0asm\x0d\0\x01\0" + b"\xff" * 40, "Failed to compile WASM module: "),
        (b"\0asm\x0d\0\x01\0\x01", "Failed to compile WASM module: "),
    ],
)
def test_what_is_no_component_is_refused_in_words(wasm: bytes, words: str) -> None:
    """By us where a look is enough, else by wasmtime, on one line."""
    message = compile_error(wasm)

    assert words in message
    assert "\n" not in message


def test_features_that_are_off_do_not_compile() -> None:
    """The engine's settings hold here as well: a 64-bit memory is refused when it is compiled."""
    wasm = bytes(wasmtime.wat2wasm("(component (core module (memory i64 1)))"))

    assert "memory64" in compile_error(wasm)


def test_an_unknown_kind_is_refused(seven: bytes) -> None:
    """Nothing is started for it."""
    assert "native" in compile_error(seven, kind="native")


def test_a_large_module_is_refused_before_anything_starts(seven: bytes) -> None:
    """Its size is the first limit."""
    assert "at most 100 are compiled" in compile_error(seven, limits=CompileLimits(wasm_bytes=100))


def test_a_compile_that_takes_too_long_is_killed(expensive: bytes) -> None:
    """By the clock on the wall; the process is gone when the error comes."""
    assert "longer than 0.2 s" in compile_error(expensive, limits=CompileLimits(wall_s=0.2))


def test_a_compile_that_takes_too_much_cpu_is_ended(expensive: bytes) -> None:
    """By the kernel, over all its threads."""
    message = compile_error(expensive, limits=CompileLimits(cpu_s=1))

    assert "more than 1 s of CPU" in message


def test_a_compile_that_takes_too_much_memory_is_ended(expensive: bytes) -> None:
    """By the kernel, when it allocates beyond the limit."""
    message = compile_error(expensive, limits=CompileLimits(memory_bytes=100 * MIB))

    assert message == "Compiling needs more memory than 100 MiB."


def test_native_code_beyond_the_limit_is_refused(seven: bytes) -> None:
    """A small module can be a lot of code."""
    assert "native code is larger" in compile_error(seven, limits=CompileLimits(code_bytes=1000))


def test_the_process_sees_no_secrets(seven: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of our environment it gets what Python needs, and no more."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nenv > {tmp_path}/environment\nexec {sys.executable} "$@"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PENSTOCK_REDIS_URL", "redis://:hunter2@localhost")

    os.close(compile_wasm(seven))

    environment = (tmp_path / "environment").read_text()
    assert "PATH=" in environment
    assert "PENSTOCK" not in environment
    assert "hunter2" not in environment


def test_the_current_directory_is_not_imported_from(
    seven: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that somebody left there under the name of a package is no part of the compiler."""
    (tmp_path / "wasmtime.py").write_text("raise SystemExit('imported from the current directory')")
    monkeypatch.chdir(tmp_path)

    os.close(compile_wasm(seven))


def test_a_process_that_cannot_start_is_no_fault_of_the_module(
    seven: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is this host's trouble: another kind of error, which is tried again sooner."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'No module named wasmtime' >&2\nexit 1\n")
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))

    with pytest.raises(ArtifactError, match="No module named wasmtime") as caught:
        compile_wasm(seven)

    assert not isinstance(caught.value, CompileError)


def test_a_changed_installation_is_noticed(seven: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was started before an upgrade does not store code of the new version as its own."""
    monkeypatch.setattr("penstock_workers.artifacts.compiler.wasmtime_version", lambda: "49.0.0")

    with pytest.raises(ArtifactError, match="restart it"):
        compile_wasm(seven)


def test_a_compile_dies_with_the_process_that_wanted_it(expensive: bytes, tmp_path: Path) -> None:
    """Even when that one is killed and can tell nobody."""
    module = tmp_path / "expensive.wasm"
    module.write_bytes(expensive)
    parent = subprocess.Popen([sys.executable, "-c", COMPILE, str(module)])
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    compiling = wait_until(lambda: children.read_text().split(), 30, "the compile process has started")

    parent.kill()
    parent.wait()

    wait_until(lambda: not Path(f"/proc/{compiling[0]}").exists(), 30, "the compile process is gone")
