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

from collections.abc import Iterator

import wasmtime
from wasmtime import component

from penstock_plugins.errors import BuildError
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

_CORE_MODULE_HEADER = b"\0asm\x01\x00\x00\x00"
_COMPONENT_HEADER = b"\0asm\x0d\x00\x01\x00"


def wrap_core_module(core: bytes) -> bytes:
    """The component around `core`.

    Raises:
        BuildError: the module is not valid, lacks exports, imports what the host does not have, or gives
            them other types; every problem is named.
    """
    module = _read(core)
    problems = [*_export_problems(module), *_import_problems(module)]
    if problems:
        raise BuildError("The core module does not fit the world grain-plugin: " + "; ".join(problems))
    imports = [name for name in HOST_FUNCTIONS if name in {entry.name for entry in module.imports}]
    exports = {entry.name for entry in module.exports}
    shell = bytes(wasmtime.wat2wasm(component_text(imports=imports, exports=exports)))
    wrapped = _with_core_module(shell, core)
    _validate(wrapped)
    return wrapped


# What the author's module must look like.


def _read(core: bytes) -> wasmtime.Module:
    if core.startswith(_COMPONENT_HEADER):
        raise BuildError("This is a component already: only core modules can be wrapped.")
    if not core.startswith(_CORE_MODULE_HEADER):
        raise BuildError("This is not a WebAssembly core module.")
    try:
        return wasmtime.Module(wasmtime.Engine(), core)
    except wasmtime.WasmtimeError as error:
        raise BuildError(f"The core module is not valid: {_in_one_line(error)}") from error


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


def _with_core_module(shell: bytes, core: bytes) -> bytes:
    """`shell` with its first core module replaced by `core`, and without the names of its parts."""
    sections = [section for section in read_sections(shell) if section.kind != CUSTOM]
    place = next(i for i, section in enumerate(sections) if section.kind == CORE_MODULE)
    sections[place] = Section(CORE_MODULE, core)
    return write_sections(shell[:HEADER_BYTES], sections)


def _validate(wrapped: bytes) -> None:
    try:
        component.Component(wasmtime.Engine(), wrapped)
    except wasmtime.WasmtimeError as error:
        raise BuildError(f"The component made of it is not valid: {_in_one_line(error)}") from error


def _in_one_line(error: wasmtime.WasmtimeError) -> str:
    return " ".join(str(error).split())
