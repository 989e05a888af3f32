"""Core modules, written as text, that become components, and those that are refused."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime import component

from penstock_plugins.errors import BuildError
from penstock_workers.engine import PLAIN, new_engine
from penstock_workers.toolchain.world import HOST_FUNCTIONS
from penstock_workers.toolchain.wrap import wrap_core_module
from penstock_workers.world import export_problems, host_problems, imports_of
from tests.support.guests import CompiledPlugin, HostCalls

MEMORY = '(memory (export "memory") 1)'
REALLOC = """
    (global $top (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      global.get $top
      (global.set $top (i32.and (i32.add (i32.add (global.get $top) (local.get 3)) (i32.const 15))
                                (i32.const -16))))"""
#: Name and version are the byte at 8, "A".
INIT = """
    (data (i32.const 8) "A")
    (func (export "grain:plugin/plugin#init") (result i32)
      (i32.store (i32.const 36) (i32.const 8)) (i32.store (i32.const 40) (i32.const 1))
      (i32.store (i32.const 44) (i32.const 8)) (i32.store (i32.const 48) (i32.const 1))
      i32.const 32)"""
LIST_TOOLS = '(func (export "grain:plugin/plugin#list-tools") (result i32) i32.const 128)'
#: Gives its params back.
CALL_TOOL = """
    (func (export "grain:plugin/plugin#call-tool") (param i32 i32 i32 i32) (result i32)
      (i32.store (i32.const 64) (local.get 2)) (i32.store (i32.const 68) (local.get 3))
      i32.const 64)"""
PARTS = {
    "memory": MEMORY,
    "cabi_realloc": REALLOC,
    "grain:plugin/plugin#init": INIT,
    "grain:plugin/plugin#list-tools": LIST_TOOLS,
    "grain:plugin/plugin#call-tool": CALL_TOOL,
}


def module(*parts: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {' '.join(parts)})"))


def whole(*, before: str = "", after: str = "") -> bytes:
    return module(before, *PARTS.values(), after)


def host_import(name: str) -> str:
    return f'(import "grain:plugin/host" "{name}" (func ${name} {HOST_FUNCTIONS[name].core.wat()}))'


def test_a_module_without_imports_becomes_a_component_that_imports_nothing() -> None:
    """What asks for nothing is seen to ask for nothing, and works."""
    plugin = CompiledPlugin(wrap_core_module(whole()))

    assert plugin.imports == {}
    assert plugin.init() == ("A", "A")
    assert plugin.tools() == []
    assert plugin.call("any", {"text": "ä€𝄞"}) == ({"text": "ä€𝄞"}, False)


@pytest.mark.parametrize("used", [["log"], ["env-get"], ["http-get", "http-post"], list(HOST_FUNCTIONS)])
def test_only_the_host_functions_that_are_used_are_imported_with_the_types_of_the_world(
    used: list[str],
) -> None:
    """The types are compared with those that workers check."""
    wrapped = wrap_core_module(whole(before=" ".join(map(host_import, used))))

    engine = new_engine(PLAIN)
    made = component.Component(engine, wrapped)

    imports = imports_of(made, engine)
    assert list(imports) == ["grain:plugin/host"]
    assert set(imports["grain:plugin/host"]) == set(used)
    assert host_problems(imports["grain:plugin/host"]) == []
    assert export_problems(made, engine) == []


def test_a_host_function_reads_and_answers_through_the_plugins_memory() -> None:
    """`env-get` gets its key and leaves its answer where the plugin said."""
    host = HostCalls(environment={"A": '"set"'})
    call = """
        (func (export "grain:plugin/plugin#call-tool") (param i32 i32 i32 i32) (result i32)
          (call $env-get (i32.const 8) (i32.const 1) (i32.const 80))
          (i32.store (i32.const 64) (i32.load (i32.const 84)))
          (i32.store (i32.const 68) (i32.load (i32.const 88)))
          (i32.store8 (i32.const 72) (i32.load8_u (i32.const 80)))
          i32.const 64)"""
    core = module(host_import("env-get"), MEMORY, REALLOC, INIT, LIST_TOOLS, call)

    answer = CompiledPlugin(wrap_core_module(core), host=host).call("any", {})

    assert answer == ("set", True)


def test_constructors_run_once_before_the_first_call_and_may_use_the_host() -> None:
    """`_initialize` is what a compiler with constructors exports."""
    host = HostCalls()
    initialize = '(func (export "_initialize") (call $log (i32.const 1) (i32.const 8) (i32.const 1)))'
    plugin = CompiledPlugin(wrap_core_module(whole(before=host_import("log"), after=initialize)), host=host)

    plugin.init()

    assert host.logged == [("info", "A")]


def test_what_a_plugin_exports_to_clean_up_is_called_after_its_function() -> None:
    """Seen by a clean-up that traps."""
    post = '(func (export "cabi_post_grain:plugin/plugin#call-tool") (param i32) unreachable)'
    plugin = CompiledPlugin(wrap_core_module(whole(after=post)))

    plugin.init()

    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        plugin.call("any", {})


def test_the_same_module_gives_the_same_component() -> None:
    """Nothing of the moment or the machine gets in."""
    core = whole(before=host_import("log"))

    assert wrap_core_module(core) == wrap_core_module(core)


def test_every_missing_export_is_named_at_once() -> None:
    """An author sees the whole list, not its first entry."""
    with pytest.raises(BuildError) as refusal:
        wrap_core_module(module(MEMORY, INIT))

    assert (
        "missing exports: cabi_realloc, grain:plugin/plugin#list-tools, grain:plugin/plugin#call-tool"
        in str(refusal.value)
    )


def test_foreign_imports_and_missing_exports_are_told_together() -> None:
    """WASI, other interfaces and unknown host functions are foreign alike."""
    core = module(
        '(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))',
        '(import "grain:plugin/host" "shutdown" (func))',
        *{**PARTS, "memory": "(memory 1)"}.values(),
    )

    with pytest.raises(BuildError) as refusal:
        wrap_core_module(core)

    assert "missing exports: memory" in str(refusal.value)
    assert (
        "imports that the host does not have: grain:plugin/host.shutdown, wasi_snapshot_preview1.fd_write"
        in str(refusal.value)
    )


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("memory", '(memory 1) (func (export "memory"))', "export memory is not a memory"),
        (
            "cabi_realloc",
            '(func (export "cabi_realloc") (param i32) (result i32) local.get 0)',
            "export cabi_realloc is (i32) -> (i32), expected (i32, i32, i32, i32) -> (i32)",
        ),
        (
            "grain:plugin/plugin#init",
            '(func (export "grain:plugin/plugin#init") (result i64) i64.const 0)',
            "export grain:plugin/plugin#init is () -> (i64), expected () -> (i32)",
        ),
        (
            "grain:plugin/plugin#list-tools",
            '(global (export "grain:plugin/plugin#list-tools") i32 (i32.const 0))',
            "export grain:plugin/plugin#list-tools is not a function, expected () -> (i32)",
        ),
    ],
)
def test_an_export_of_another_type_is_refused(name: str, wrong: str, told: str) -> None:
    """The message has both types."""
    core = module(*{**PARTS, name: wrong}.values())

    with pytest.raises(BuildError) as refusal:
        wrap_core_module(core)

    assert told in str(refusal.value)


def test_an_import_of_another_type_is_refused() -> None:
    """The message has both types."""
    core = whole(before='(import "grain:plugin/host" "log" (func (param i32)))')

    with pytest.raises(
        BuildError, match=r"import log is \(i32\) -> \(\), expected \(i32, i32, i32\) -> \(\)"
    ):
        wrap_core_module(core)


@pytest.mark.parametrize(
    ("binary", "told"),
    [
        (b"", "not a WebAssembly core module"),
        (b"#include <penstock.h>", "not a WebAssembly core module"),
        (b"\0asm\x01\0\0\0\x07\x05oops!", "Failed to compile WASM module"),
        (bytes(wasmtime.wat2wasm("(component)")), "a component already"),
    ],
)
def test_what_is_no_core_module_is_refused(binary: bytes, told: str) -> None:
    """Each kind of wrong input has its own words."""
    with pytest.raises(BuildError, match=told):
        wrap_core_module(binary)


def test_a_module_that_no_component_can_hold_is_refused() -> None:
    """Such as one whose memory has 64-bit addresses: its exports have the right names and types."""
    core = module(
        *{
            **PARTS,
            "memory": '(memory $wide (export "memory") i64 1)',
            "cabi_realloc": """
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)""",
            "grain:plugin/plugin#init": '(func (export "grain:plugin/plugin#init") (result i32) i32.const 0)',
            "grain:plugin/plugin#call-tool": """
        (func (export "grain:plugin/plugin#call-tool") (param i32 i32 i32 i32) (result i32) i32.const 0)""",
        }.values()
    )

    with pytest.raises(BuildError, match=r"Failed to compile WASM module: .*memory64"):
        wrap_core_module(core)
