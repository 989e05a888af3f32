"""Turns a core module that speaks the canonical ABI into a component of the world `grain-plugin`.

What `wasm-tools component new` does for any world, done here for one and in pure Python: the component is
written as text around an empty module, parsed by wasmtime, and the author's module is then put into the
empty one's place, byte for byte.

The core module exports what `world.REQUIRED_EXPORTS` lists, and imports nothing but functions of
`world.HOST_FUNCTIONS`. The component imports only those that the module uses, so that a plugin that asks for
nothing is seen to ask for nothing.

It knows nothing of C, manifests or folders: see `c.py` for that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import wasmtime
from wasmtime import component

from penstock_plugins.errors import BuildError, CompileError
from penstock_workers.artifacts.compiler import PREAMBLES, CompileLimits, compile_wasm
from penstock_workers.engine import METERED, new_engine
from penstock_workers.toolchain.component_text import component_text
from penstock_workers.toolchain.sections import (
    CORE_MODULE,
    CUSTOM,
    HEADER_BYTES,
    Section,
    read_sections,
    write_sections,
)
from penstock_workers.toolchain.world import (
    HOST_FUNCTIONS,
    HOST_INTERFACE,
    OPTIONAL_EXPORTS,
    REQUIRED_EXPORTS,
    Signature,
)


def wrap_core_module(core: bytes) -> bytes:
    """The component around `core`.

    Raises:
        BuildError: the module is not valid, lacks exports, imports what the host does not have, or gives
            them other types; every problem is named.
    """
    module = read_core_module(core)
    problems = [*_export_problems(module), *_import_problems(module)]
    if problems:
        raise BuildError("The core module does not fit the world grain-plugin: " + "; ".join(problems))
    imports = [name for name in HOST_FUNCTIONS if name in {entry.name for entry in module.imports}]
    exports = {entry.name for entry in module.exports}
    return component_of(component_text(imports=imports, exports=exports), core)


def component_of(text: str, *modules: bytes) -> bytes:
    """The component that `text` describes, with its first core modules, which are empty, replaced by these.

    Raises:
        BuildError: it is not valid.
    """
    shell = bytes(wasmtime.wat2wasm(text))
    sections = [section for section in read_sections(shell) if section.kind != CUSTOM]
    places = [place for place, section in enumerate(sections) if section.kind == CORE_MODULE]
    for place, module in zip(places, modules, strict=False):
        sections[place] = Section(CORE_MODULE, module)
    wrapped = write_sections(shell[:HEADER_BYTES], sections)
    _validate(wrapped)
    return wrapped


# What the author's module must look like.


def read_core_module(core: bytes, engine: wasmtime.Engine | None = None) -> wasmtime.Module:
    """The module, if it is one that workers' engines can run.

    Raises:
        BuildError: it is not.
    """
    _check_preamble(core)
    try:
        return wasmtime.Module(engine or new_engine(METERED, parallel=False), core)
    except wasmtime.WasmtimeError as error:
        raise BuildError(f"Failed to compile WASM module: {in_one_line(error)}") from error


def check_compiles(core: bytes, limits: CompileLimits | None = None) -> None:
    """Compile a module in a process that can be killed, before this one does: nobody knows who made it.

    Raises:
        BuildError: it is no core module, or does not compile within the limits.
    """
    _check_preamble(core)
    try:
        os.close(compile_wasm(core, METERED, kind="core", limits=limits))
    except CompileError as error:
        raise BuildError(error.message) from error


def _check_preamble(core: bytes) -> None:
    if core.startswith(PREAMBLES["component"]):
        raise BuildError("This is a component already: only core modules can be wrapped.")
    if not core.startswith(PREAMBLES["core"]):
        raise BuildError("This is not a WebAssembly core module.")


def _export_problems(module: wasmtime.Module) -> Iterator[str]:
    exports = {entry.name: entry.type for entry in module.exports}
    missing = [name for name in ("memory", *REQUIRED_EXPORTS) if name not in exports]
    if missing:
        yield "missing exports: " + ", ".join(missing)
    if not isinstance(exports.get("memory"), wasmtime.MemoryType | None):
        yield "export memory is not a memory"
    for name, signature in {**REQUIRED_EXPORTS, **OPTIONAL_EXPORTS}.items():
        if name in exports and (found := _signature(exports[name])) != signature:
            yield f"export {name} is {found or 'not a function'}, expected {signature}"


def _import_problems(module: wasmtime.Module) -> Iterator[str]:
    foreign = []
    for entry in module.imports:
        function = HOST_FUNCTIONS.get(entry.name or "") if entry.module == HOST_INTERFACE else None
        if function is None:
            foreign.append(f"{entry.module}.{entry.name}")
        elif (found := _signature(entry.type)) != function.core:
            yield f"import {entry.name} is {found or 'not a function'}, expected {function.core}"
    if foreign:
        yield f"imports that the host does not have: {', '.join(sorted(set(foreign)))}"


def _signature(extern: object) -> Signature | None:
    if not isinstance(extern, wasmtime.FuncType):
        return None
    return Signature(params=tuple(map(str, extern.params)), results=tuple(map(str, extern.results)))


# The binary.


def _validate(wrapped: bytes) -> None:
    try:
        component.Component(wasmtime.Engine(), wrapped)
    except wasmtime.WasmtimeError as error:
        raise BuildError(f"The component made of it is not valid: {in_one_line(error)}") from error


def in_one_line(error: Exception) -> str:
    """What wasmtime says, which likes to take several."""
    return " ".join(str(error).split())
