"""Core modules with the plain ABI (contract 3.2), compiled or written by hand, wrapped and called."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from penstock_plugins.bundle import read_bundle
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import BuildError
from penstock_workers import Executor
from penstock_workers.artifacts.compiler import CompileLimits
from penstock_workers.inspection import inspect_plugin
from penstock_workers.local import LocalExecutor
from penstock_workers.toolchain.c import build_core_adapter
from penstock_workers.toolchain.core_abi import ADAPTER, CoreIdentity, ask_core_module, wrap_core_abi
from penstock_workers.toolchain.toolchains import toolchain_cache, zig
from penstock_workers.toolchain.wrap import check_compiles
from tests.support.guests import CompiledPlugin

GUIDE = Path(__file__).parents[3] / "plugins" / "AUTHORS.md"

#: Built with no header of ours and no flag of ours: any compiler gives the same.
SOURCE = """
#define EXPORT(name) __attribute__((export_name(#name)))
static const char *const names[] = {"shout", "echo", "count", "stray", "open", "bytes", "long", "trap"};
static char buffer[4 << 20];
static int calls;
EXPORT(plugin_name) const char *plugin_name(void) { return "demo"; }
EXPORT(plugin_version) const char *plugin_version(void) { return "1.2.0"; }
EXPORT(plugin_description) const char *plugin_description(void) { return "Shouts."; }
EXPORT(plugin_tools_count) int plugin_tools_count(void) { return sizeof names / sizeof *names; }
EXPORT(plugin_tool_name) const char *plugin_tool_name(int index) { return names[index]; }
EXPORT(plugin_tool_description) const char *plugin_tool_description(int index) { return names[index] + 1; }
EXPORT(plugin_tool_execute) const char *plugin_tool_execute(int index, const char *input) {
    int i = 0;
    switch (index) {
    case 0:
        for (; input[i]; i++) buffer[i] = input[i] >= 'a' && input[i] <= 'z' ? input[i] - 32 : input[i];
        buffer[i] = 0;
        return buffer;
    case 1: return input;
    case 2: return ++calls == 1 ? "first" : "again";
    case 3: return (const char *)0xfffffff0u;
    case 4: {
        char *end = (char *)(__builtin_wasm_memory_size(0) * 65536) - 3;
        end[0] = end[1] = end[2] = 'x';
        return end;
    }
    case 5: return "\\xff\\xfe";
    case 6:
        for (; i < (4 << 20) - 1; i++) buffer[i] = 'x';
        return buffer;
    default: __builtin_trap();
    }
}
"""
#: The parts of a module that fits, written by hand: what is left out is missing.
PARTS = {
    "plugin_name": '(func (export "plugin_name") (result i32) i32.const 16)',
    "plugin_version": '(func (export "plugin_version") (result i32) i32.const 24)',
    "plugin_description": '(func (export "plugin_description") (result i32) i32.const 16)',
    "plugin_tools_count": '(func (export "plugin_tools_count") (result i32) i32.const 1)',
    "plugin_tool_name": '(func (export "plugin_tool_name") (param i32) (result i32) i32.const 16)',
    "plugin_tool_description": """
        (func (export "plugin_tool_description") (param i32) (result i32) i32.const 16)""",
    "plugin_tool_execute": '(func (export "plugin_tool_execute") (param i32 i32) (result i32) local.get 1)',
    "memory": '(memory (export "memory") 1)',
}
DATA = '(data (i32.const 16) "demo") (data (i32.const 24) "1.0.0")'


def module(*, data: str = DATA, before: str = "", **other: str | None) -> bytes:
    """A module of these parts; `None` leaves one out."""
    parts = {**PARTS, **other}
    return bytes(wasmtime.wat2wasm(f"(module {before} {' '.join(filter(None, parts.values()))} {data})"))


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled module."""
    folder = tmp_path_factory.mktemp("core")
    (folder / "demo.c").write_text(SOURCE)
    cache = str(toolchain_cache() / "zig")
    done = zig().run(
        *("cc", "-target", "wasm32-freestanding", "-nostdlib", "-Wl,--no-entry", "-O2"),
        *("demo.c", "-o", "demo.wasm"),
        cwd=folder,
        environment={"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
    )
    assert done.returncode == 0, done.stderr
    return folder / "demo.wasm"


@pytest.fixture(scope="module")
def demo(core: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalExecutor:
    """The plugin that the command line makes of it."""
    folder = tmp_path_factory.mktemp("demo")
    done = wrap(core, "-o", folder / "plugin.wasm")
    assert done.returncode == 0, done.stderr
    assert 'plugin.toml must say name = "demo", version = "1.2.0". Tools: shout, echo' in done.stderr
    (folder / "plugin.toml").write_text('name = "demo"\nversion = "1.2.0"\n')
    return Executor.local(folder, cache_dir=folder / "cache")


def wrap(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`penstock plugin wrap`."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", "plugin", "wrap", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_C1_a_compiled_module_becomes_a_component_that_imports_nothing(core: Path) -> None:
    """With its name, its version and each tool's own definition."""
    plugin = CompiledPlugin(wrap_core_abi(core.read_bytes()))

    assert plugin.imports == {}
    assert plugin.init() == ("demo", "1.2.0")
    assert [(tool.name, tool.description) for tool in plugin.tools()][:3] == [
        ("shout", "hout"),
        ("echo", "cho"),
        ("count", "ount"),
    ]
    assert json.loads(plugin.tools()[0].parameters_json) == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("tool", "params", "data"),
    [
        ("shout", {"input": "héllo 𝄞"}, "HéLLO 𝄞"),
        ("shout", {"input": ""}, ""),
        ("echo", {}, {}),
        ("echo", {"input": "42"}, "42"),
        ("echo", {"input": 'a "quoted"\n\\ text'}, 'a "quoted"\n\\ text'),
        ("echo", {"input": 42}, {"input": 42}),
        (
            "echo",
            {"input": "x", "other": [1, "\u0000ü", None]},
            {"input": "x", "other": [1, "\u0000ü", None]},
        ),
        ("echo", {"input": "[1, 2]"}, [1, 2]),
        ("echo", {"input": "{not json"}, "{not json"),
        ("echo", {"input": "x" * 65_535}, "x" * 65_535),
        ("echo", {"input": "y" * 65_536}, "y" * 65_536),
        ("echo", {"input": "z" * 200_001}, "z" * 200_001),
    ],
)
def test_C6_the_input_is_the_text_or_the_json_of_the_params(
    demo: LocalExecutor, tool: str, params: dict[str, object], data: object
) -> None:
    """What comes back is an object or array where it is one, and a text everywhere else."""
    assert demo.run(tool, params).data == data


@pytest.mark.parametrize(
    ("tool", "params", "code", "words"),
    [
        ("echo", {"input": "a\u0000b"}, ErrorCode.VALIDATION_ERROR, "The input has a NUL at byte 1"),
        ("stray", {}, ErrorCode.INVALID_OUTPUT, "'stray' returns lies outside of its memory"),
        ("open", {}, ErrorCode.INVALID_OUTPUT, "'open' returns has no terminator"),
        ("bytes", {}, ErrorCode.INVALID_OUTPUT, "'bytes' returns is not UTF-8"),
        ("long", {}, ErrorCode.OUTPUT_TOO_LARGE, ""),
        ("trap", {}, ErrorCode.TRAP, "unreachable"),
    ],
)
def test_C4_what_is_no_input_and_no_output_has_its_own_code(
    demo: LocalExecutor, tool: str, params: dict[str, object], code: ErrorCode, words: str
) -> None:
    """And the next call is a good one."""
    error = demo.run(tool, params).error

    assert error is not None
    assert error.code is code
    assert words in error.message + json.dumps(error.details or {}, ensure_ascii=False)
    assert demo.run("shout", {"input": "a"}).data == "A"


def test_C5_ten_thousand_calls_leave_nothing_behind(demo: LocalExecutor) -> None:
    """Neither in the module, which counts its calls, nor in this process."""

    def resident_pages() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])

    outcomes = {demo.run("count", {"input": str(number)}).data for number in range(1000)}
    before = resident_pages()
    outcomes |= {demo.run("count", {"input": str(number)}).data for number in range(9000)}

    assert outcomes == {"first"}
    assert resident_pages() - before < 4096  # 16 MiB


def failing(*, data: str = DATA, before: str = "", **parts: str | None) -> Callable[[], bytes]:
    return lambda: module(data=data, before=before, **parts)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda: b"\0asm\1\0\0\0nonsense", "Failed to compile WASM module: "),
        (lambda: b"text", "This is not a WebAssembly core module"),
        (failing(plugin_version=None), "Missing required export 'plugin_version' in plugin"),
        (failing(plugin_tool_execute=None), "Missing required export 'plugin_tool_execute' in plugin"),
        (failing(memory="(memory 1)"), "Missing required export 'memory' in plugin"),
        (
            failing(plugin_tool_name='(func (export "plugin_tool_name") (result i32) i32.const 16)'),
            "Export 'plugin_tool_name' has wrong type: () -> (i32), expected (i32) -> (i32)",
        ),
        (
            failing(plugin_name='(global (export "plugin_name") i32 (i32.const 16))'),
            "Export 'plugin_name' has wrong type: it is no function",
        ),
        (failing(memory='(memory 1) (func (export "memory"))'), "Export 'memory' has wrong type"),
        (
            failing(before='(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))'),
            "Failed to instantiate WASM module: it imports wasi_snapshot_preview1.proc_exit",
        ),
        (failing(memory='(memory (export "memory") i64 1)'), "Failed to compile WASM module: "),
        (failing(memory='(memory (export "memory") 1 1 shared)'), "Failed to compile WASM module: "),
        (failing(memory='(memory (export "memory") 20000)'), "Failed to instantiate WASM module: "),
        (failing(before="(start $s) (func $s unreachable)"), "Failed to instantiate WASM module: "),
        (
            failing(data='(data (i32.const 16) "demo")'),
            "Plugin version '' is not compatible with host ABI v1",
        ),
        # C-2: the version comes before anything of tools is looked for.
        (
            failing(data="", plugin_tools_count=None),
            "Plugin version '' is not compatible with host ABI v1",
        ),
        (
            failing(plugin_tools_count='(func (export "plugin_tools_count") (result i32) i32.const -1)'),
            "plugin_tools_count returns -1: 0 to 1024 are allowed",
        ),
        (
            failing(plugin_name='(func (export "plugin_name") (result i32) i32.const -1)'),
            "What plugin_name() returns lies outside of its memory",
        ),
        (failing(data='(data (i32.const 16) "\\ff")'), "What plugin_name() returns is not UTF-8"),
        (
            failing(plugin_name='(func (export "plugin_name") (result i32) (loop br 0) unreachable)'),
            "plugin_name does not return: ",
        ),
    ],
)
def test_C3_what_does_not_fit_is_refused_in_the_words_of_the_contract(
    made: Callable[[], bytes], says: str
) -> None:
    """Before anything is written."""
    with pytest.raises(BuildError) as refusal:
        ask_core_module(made())

    assert says in str(refusal.value)


def test_C3_every_missing_export_is_named(tmp_path: Path) -> None:
    """By the command line, with the exit code of wrong usage; so is a file that cannot be read."""
    (tmp_path / "core.wasm").write_bytes(module(plugin_tool_name=None, plugin_tool_description=None))

    refused = wrap(tmp_path / "core.wasm", "-o", tmp_path / "plugin.wasm")
    missing = wrap(tmp_path / "nothing.wasm")

    assert (refused.returncode, missing.returncode) == (2, 2)
    assert "Missing required export 'plugin_tool_name' in plugin\nMissing" in refused.stderr
    assert f"Failed to read {tmp_path / 'nothing.wasm'}: No such file or directory" in missing.stderr
    assert not (tmp_path / "plugin.wasm").exists()


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (CompileLimits(wall_s=0.01), "Compiling took longer than 0.01 s."),
        (CompileLimits(wasm_bytes=100), "at most 100 are compiled"),
    ],
)
def test_a_module_is_compiled_within_limits_before_it_is_looked_at(limits: CompileLimits, says: str) -> None:
    """In a process that can be ended: who made it may want this one to be busy for hours."""
    with pytest.raises(BuildError) as refused:
        check_compiles(module(), limits)

    assert says in str(refused.value)


def test_an_artifact_that_cannot_be_written_is_told_by_its_own_name(tmp_path: Path) -> None:
    """And nothing is left of it."""
    (tmp_path / "core.wasm").write_bytes(module())
    (tmp_path / "plugin.wasm").mkdir()

    for output, why in (("no/plugin.wasm", "No such file or directory"), ("plugin.wasm", "Is a directory")):
        refused = wrap(tmp_path / "core.wasm", "-o", tmp_path / output)

        assert refused.returncode == 2
        assert refused.stderr == f"Error: {tmp_path / output} cannot be written: {why}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["core.wasm", "plugin.wasm"]


def test_a_component_refuses_in_init_what_changes_after_it_was_wrapped(tmp_path: Path) -> None:
    """The adapter trusts nothing that wrapping has seen."""
    version = '(func (export "plugin_version") (result i32) i32.const 64)'
    (tmp_path / "plugin.wasm").write_bytes(wrap_core_abi(module(plugin_version=version)))
    (tmp_path / "plugin.toml").write_text('name = "demo"\nversion = "1.0.0"\n')

    found = inspect_plugin(read_bundle(tmp_path))

    assert "Plugin version '' is not compatible with host ABI v1" in str(found.problems[0])


def test_a_name_that_no_plugin_can_have_is_replaced(tmp_path: Path) -> None:
    """By the author's; without one the error asks for it."""
    core = tmp_path / "core.wasm"
    core.write_bytes(module(data='(data (i32.const 16) "My Ü") (data (i32.const 24) "1.0")'))

    unnamed = wrap(core, "-o", tmp_path / "plugin.wasm")
    unversioned = wrap(core, "-o", tmp_path / "plugin.wasm", "--name", "mine")
    named = wrap(core, "-o", tmp_path / "plugin.wasm", "--name", "mine", "--version", "1.0.0")

    assert "No plugin can be called 'My Ü': give it a name such as --name my-plugin" in unnamed.stderr
    assert "give one with --version 1.0.0" in unversioned.stderr
    assert [done.returncode for done in (unnamed, unversioned, named)] == [2, 2, 0]
    assert CompiledPlugin((tmp_path / "plugin.wasm").read_bytes()).init() == ("mine", "1.0.0")


def test_a_reactor_is_initialized_before_it_is_asked() -> None:
    """Compilers put constructors there."""
    core = module(
        before='(func (export "_initialize") (i32.store8 (i32.const 16) (i32.const 0x44)))',
    )

    assert ask_core_module(core) == CoreIdentity(name="Demo", version="1.0.0", tools=("Demo",))
    assert CompiledPlugin(wrap_core_abi(core)).init() == ("Demo", "1.0.0")


def test_the_adapter_that_is_kept_is_what_its_source_gives() -> None:
    """`python -m penstock_workers.toolchain --core-adapter` writes it again."""
    assert ADAPTER.read_bytes() == build_core_adapter()


def test_what_the_guide_says_of_core_modules_works_as_it_stands(tmp_path: Path) -> None:
    """Its source, and its commands in a shell."""
    guide = GUIDE.read_text()
    source = re.search(r"^```c\n(#define EXPORT.*?)^```", guide, re.MULTILINE | re.DOTALL)
    commands = re.search(r"^```\n(python -m ziglang cc .*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert source
    assert commands
    (tmp_path / "demo.c").write_text(source[1])

    done = subprocess.run(
        ["bash", "-euc", commands[1]],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "hello"
