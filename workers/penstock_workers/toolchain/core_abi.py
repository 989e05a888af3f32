"""Turns a core module with the plain ABI, version 1, into a component of the world `grain-plugin`.

Such a module knows nothing of components: it exports `memory`, and functions that return addresses of
NUL-terminated texts (`FUNCTIONS`). A second module, `core_adapter/adapter.c`, stands between it and the host,
with a memory of its own. Before that, the module is asked for its name, version and tools, in a sandbox.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import wasmtime

from penstock_plugins.bundle import MAX_BUNDLE_BYTES
from penstock_plugins.errors import BuildError
from penstock_plugins.manifest import NAME
from penstock_plugins.policy import WIDEST_LIMITS
from penstock_plugins.versions import parse_version
from penstock_workers.engine import METERED, new_engine
from penstock_workers.text import clean
from penstock_workers.toolchain.component_text import adapted_component_text, initialization
from penstock_workers.toolchain.world import Signature
from penstock_workers.toolchain.wrap import component_of, in_one_line, read_core_module

ADAPTER = Path(__file__).parent / "core_adapter" / "adapter.wasm"

_TEXT = Signature(results=("i32",))
_OF_TOOL = Signature(params=("i32",), results=("i32",))
_IDENTITY: Mapping[str, Signature] = {
    "plugin_name": _TEXT,
    "plugin_version": _TEXT,
    "plugin_description": _TEXT,
}
_TOOLS: Mapping[str, Signature] = {
    "plugin_tools_count": _TEXT,
    "plugin_tool_name": _OF_TOOL,
    "plugin_tool_description": _OF_TOOL,
    "plugin_tool_execute": Signature(params=("i32", "i32"), results=("i32",)),
}
#: What such a module exports, besides `memory`; in the order in which they are looked for (C-2).
FUNCTIONS: Mapping[str, Signature] = {**_IDENTITY, **_TOOLS}

MAX_TOOLS = 1024
#: What asking it may take. No answer is long.
_FUEL = 1_000_000_000
_MAX_TEXT_BYTES = 64 * 1024

#: Its memory, a function each. The adapter cannot have it: a module has but one memory, as compilers see it.
_MEMORY_MODULE = """
(core module $memory-module
  (import "core" "memory" (memory 0))
  (func (export "pages") (result i32) memory.size)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (param i32) (result i64) (i64.load align=1 (local.get 0)))
  (func (export "load-byte") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "store") (param i32 i64) (i64.store align=1 (local.get 0) (local.get 1)))
  (func (export "store-byte") (param i32 i32) (i32.store8 (local.get 0) (local.get 1))))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreIdentity:
    """What such a module says of itself."""

    name: str
    version: str
    tools: tuple[str, ...]

    def called(self, *, name: str = "", version: str = "") -> CoreIdentity:
        """The same under another name and version, where they are given.

        Raises:
            BuildError: no plugin can be called so.
        """
        known = replace(self, name=name or self.name, version=version or self.version)
        if not NAME.fullmatch(known.name):
            raise BuildError(
                f"No plugin can be called '{known.name}': give it a name such as --name my-plugin"
            )
        try:
            parse_version(known.version)
        except ValueError as error:
            raise BuildError(
                f"No plugin can have that version: {error}; give one with --version 1.0.0"
            ) from error
        return known


def has_core_abi(core: bytes) -> bool:
    """Whether a core module exports functions of the plain ABI.

    Raises:
        BuildError: it is no core module.
    """
    return any(export.name in FUNCTIONS for export in read_core_module(core).exports)


def ask_core_module(core: bytes) -> CoreIdentity:
    """Run a module far enough to hear what it is called and which tools it has.

    Raises:
        BuildError: it is none that can be wrapped; in the words of the contract (C-3).
    """
    if len(core) > MAX_BUNDLE_BYTES:
        raise BuildError(f"The module has {len(core)} bytes; at most {MAX_BUNDLE_BYTES} travel")
    engine = new_engine(METERED, parallel=False)
    module = read_core_module(core, engine)
    if foreign := sorted({f"{entry.module}.{entry.name}" for entry in module.imports}):
        raise BuildError(
            f"Failed to instantiate WASM module: it imports {', '.join(foreign)}; with this ABI it may import"
            " nothing, WASI included"
        )
    types = {entry.name: entry.type for entry in module.exports}
    _check_functions(types, _IDENTITY)
    guest = _Guest(engine, module)
    name, version = guest.text("plugin_name"), guest.text("plugin_version")
    guest.text("plugin_description")
    if version == "":
        raise BuildError("Plugin version '' is not compatible with host ABI v1")
    _check_functions(types, _TOOLS)
    _check_memory(types)
    count = guest.number("plugin_tools_count")
    if not 0 <= count <= MAX_TOOLS:
        raise BuildError(f"plugin_tools_count returns {count}: 0 to {MAX_TOOLS} are allowed")
    tools = tuple(guest.text("plugin_tool_name", index) for index in range(count))
    return CoreIdentity(name=name, version=version, tools=tools)


def wrap_core_abi(core: bytes, called: CoreIdentity | None = None) -> bytes:
    """The component around a module that `ask_core_module` has let pass.

    Args:
        core: the module.
        called: the plugin's name and version. None: as the module says, each time that it is asked.

    Raises:
        BuildError: what is made of it is not valid.
    """
    exports = {entry.name for entry in read_core_module(core).exports}
    before = [
        "(core module $author)",
        _MEMORY_MODULE,
        *_given_module(called),
        "(core instance $core (instantiate $author))",
        '(core instance $memory (instantiate $memory-module (with "core" (instance $core))))',
        "(core instance $given (instantiate $given-module))",
    ]
    if "_initialize" in exports:
        before += initialization("core")
    adapter = ADAPTER.read_bytes()
    adapted = {entry.name for entry in read_core_module(adapter).exports}
    text = adapted_component_text(before, imports=("core", "memory", "given"), exports=adapted)
    return component_of(text, adapter, core)


def _given_module(called: CoreIdentity | None) -> Iterable[str]:
    """A module with the bytes of name and version, each with a NUL behind it."""
    if called is None:
        return ['(core module $given-module (func (export "byte") (param i32) (result i32) (i32.const 0)))']
    spelled = "".join(f"\\{byte:02x}" for byte in f"{called.name}\0{called.version}\0".encode())
    return [
        f'(core module $given-module (memory 1) (data (i32.const 0) "{spelled}")',
        '(func (export "byte") (param i32) (result i32) (i32.load8_u (local.get 0))))',
    ]


def _check_functions(types: Mapping[str, object], wanted: Mapping[str, Signature]) -> None:
    problems = list(_function_problems(types, wanted))
    if problems:
        raise BuildError("\n".join(problems))


def _function_problems(types: Mapping[str, object], wanted: Mapping[str, Signature]) -> Iterator[str]:
    for name, signature in wanted.items():
        found = types.get(name)
        if found is None:
            yield f"Missing required export '{name}' in plugin"
        elif not isinstance(found, wasmtime.FuncType):
            yield f"Export '{name}' has wrong type: it is no function, expected {signature}"
        elif (own := _signature(found)) != signature:
            yield f"Export '{name}' has wrong type: {own}, expected {signature}"


def _check_memory(types: Mapping[str, object]) -> None:
    if (found := types.get("memory")) is None:
        raise BuildError("Missing required export 'memory' in plugin")
    if not isinstance(found, wasmtime.MemoryType):
        raise BuildError("Export 'memory' has wrong type: it is no memory")


def _signature(function: wasmtime.FuncType) -> Signature:
    return Signature(params=tuple(map(str, function.params)), results=tuple(map(str, function.results)))


class _Guest:
    """An instance of the module, within limits."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self._store = wasmtime.Store(engine)
        self._store.set_fuel(_FUEL)
        self._store.set_epoch_deadline(1)
        self._store.set_limits(
            memory_size=WIDEST_LIMITS.memory_bytes, table_elements=WIDEST_LIMITS.table_elements
        )
        try:
            self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise BuildError(f"Failed to instantiate WASM module: {_cause(error)}") from error
        if isinstance(self._exports.get("_initialize"), wasmtime.Func):
            self._call("_initialize")

    def number(self, function: str, *arguments: int) -> int:
        """What a function of the ABI returns."""
        return int(self._call(function, *arguments))

    def text(self, function: str, *arguments: int) -> str:
        """The text that it returns the address of; empty where there is no memory to have one in."""
        start = self.number(function, *arguments) & 0xFFFF_FFFF
        memory = self._exports.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            return "?"
        called = f"{function}({', '.join(map(str, arguments))})"
        if start >= memory.data_len(self._store):
            raise BuildError(f"What {called} returns lies outside of its memory")
        raw, nul, _ = bytes(memory.read(self._store, start, start + _MAX_TEXT_BYTES)).partition(b"\0")
        if not nul:
            raise BuildError(f"What {called} returns has no terminator within {_MAX_TEXT_BYTES} bytes")
        try:
            return clean(raw.decode())
        except UnicodeDecodeError as error:
            raise BuildError(f"What {called} returns is not UTF-8") from error

    def _call(self, function: str, *arguments: int) -> int:
        found = self._exports.get(function)
        if not isinstance(found, wasmtime.Func):
            raise BuildError(f"Missing required export '{function}' in plugin")
        try:
            return int(found(self._store, *arguments) or 0)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise BuildError(f"{function} does not return: {_cause(error)}") from error


def _cause(error: Exception) -> str:
    """The last of what wasmtime says: before it come names of the guest's functions."""
    return clean(in_one_line(error).rpartition("Caused by:")[2].strip(), 300)
