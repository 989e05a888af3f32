"""Writes the component around a plugin's core module as WebAssembly text.

The core module itself is left empty (`$plugin`, the first one): `wrap.py` puts the author's into its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from penstock_workers.toolchain.world import (
    HOST_FUNCTIONS,
    HOST_INTERFACE,
    INTERFACES,
    PLUGIN_INTERFACE,
    TYPES,
    WorldFunction,
)


def component_text(*, imports: list[str], exports: set[str]) -> str:
    """The component's text.

    Args:
        imports: the host functions that the core module imports.
        exports: everything that it exports; what is optional is used when it is there.
    """
    lines = ["(component", "(core module $plugin)"]
    if imports:
        lines += _host_import(imports)
        lines += _shim(imports)
        lines.append(
            f'(core instance $main (instantiate $plugin (with "{HOST_INTERFACE}" (instance $shim))))'
        )
    else:
        lines.append("(core instance $main (instantiate $plugin))")
    lines += _memory_and_realloc()
    if imports:
        lines += _lowered(imports)
    if "_initialize" in exports:
        lines += initialization("main")
    return "\n".join([*lines, *_exported(exports), ")"])


def adapted_component_text(before: Iterable[str], *, imports: Iterable[str], exports: set[str]) -> str:
    """The text of a component whose own module stands between the host and another core module.

    Args:
        before: what that module's imports come from: an instance each, named as the import is.
        imports: their names.
        exports: everything that it exports itself.
    """
    given = " ".join(f'(with "{name}" (instance ${name}))' for name in imports)
    lines = [
        "(component",
        "(core module $plugin)",
        *before,
        f"(core instance $main (instantiate $plugin {given}))",
    ]
    return "\n".join([*lines, *_memory_and_realloc(), *_exported(exports), ")"])


def _memory_and_realloc() -> list[str]:
    return [
        '(alias core export $main "memory" (core memory $memory))',
        '(alias core export $main "cabi_realloc" (core func $realloc))',
    ]


def _exported(exports: set[str]) -> list[str]:
    """The interfaces that the component exports, over what `$main` does."""
    lines = [f"(type ${name} {TYPES[name]})" for name in _types_of(*INTERFACES.values())]
    for interface, functions in INTERFACES.items():
        if interface == PLUGIN_INTERFACE or any(f"{interface}#{name}" in exports for name in functions):
            lines += _lifted(interface, functions, exports)
            lines += _exported_instance(interface, functions)
    return lines


def _host_import(imports: Iterable[str]) -> list[str]:
    """The import of the host's interface, with the functions that are used and their types."""
    lines = ["(type $host-type (instance"]
    for name in dict.fromkeys(name for function in imports for name in HOST_FUNCTIONS[function].types):
        lines.append(f"(type ${name}-shape {TYPES[name]})")
        lines.append(f'(export "{name}" (type ${name} (eq ${name}-shape)))')
    for name in imports:
        function = HOST_FUNCTIONS[name]
        lines.append(f'(export "{name}" (func {_func(function, "${}")}))')
    return [*lines, "))", f'(import "{HOST_INTERFACE}" (instance $host (type $host-type)))']


def _shim(imports: list[str]) -> list[str]:
    """Stand-ins for the host's functions, which call through a table that `_lowered` fills.

    The real ones need the memory of the module that imports them, which exists only when that module has
    been instantiated.
    """
    lines = ["(core module $shim-module", f'(table (export "functions") {len(imports)} funcref)']
    for index, name in enumerate(imports):
        core = HOST_FUNCTIONS[name].core
        arguments = " ".join(f"(local.get {position})" for position in range(len(core.params)))
        lines.append(f"(type $type-{name} (func {core.wat()}))")
        lines.append(
            f'(func (export "{name}") (type $type-{name})'
            f" (call_indirect (type $type-{name}) {arguments} (i32.const {index})))"
        )
    return [*lines, ")", "(core instance $shim (instantiate $shim-module))"]


def _lowered(imports: list[str]) -> list[str]:
    """The host's functions over the plugin's memory, put into the shim's table."""
    lines = ['(alias core export $shim "functions" (core table $functions))']
    lines += [
        f'(core func $lowered-{name} (canon lower (func $host "{name}")'
        " (memory $memory) (realloc (core func $realloc)) string-encoding=utf8))"
        for name in imports
    ]
    lines.append("(core module $fill-module")
    lines += [f'(import "" "{name}" (func $f-{name} {HOST_FUNCTIONS[name].core.wat()}))' for name in imports]
    lines.append(f'(import "" "functions" (table {len(imports)} funcref))')
    lines.append(f"(elem (i32.const 0) func {' '.join(f'$f-{name}' for name in imports)}))")
    lines.append('(core instance (instantiate $fill-module (with "" (instance')
    lines += [f'(export "{name}" (func $lowered-{name}))' for name in imports]
    return [*lines, '(export "functions" (table $functions))))))']


def initialization(instance: str) -> list[str]:
    """A module whose start function is an instance's `_initialize`: it runs once, when imports work."""
    return [
        '(core module $start-module (import "" "_initialize" (func $initialize)) (start $initialize))',
        f'(alias core export ${instance} "_initialize" (core func $initialize))',
        '(core instance (instantiate $start-module (with "" (instance',
        '(export "_initialize" (func $initialize))))))',
    ]


def _lifted(interface: str, functions: Mapping[str, WorldFunction], exports: set[str]) -> list[str]:
    """An interface's functions as component functions."""
    lines = []
    for name, function in functions.items():
        core_name = f"{interface}#{name}"
        after = ""
        if f"cabi_post_{core_name}" in exports:
            after = f' (post-return (core func $main "cabi_post_{core_name}"))'
        lines.append(
            f'(func ${name} {_func(function, "${}")} (canon lift (core func $main "{core_name}")'
            f" (memory $memory) (realloc (core func $realloc)) string-encoding=utf8{after}))"
        )
    return lines


def _exported_instance(interface: str, functions: Mapping[str, WorldFunction]) -> list[str]:
    """The functions and their types as one exported instance.

    A function's type may name records only where these are exported beside it, and an instance that
    exports types is made by instantiating a component: hence the inner one, which only passes on.
    """
    types = _types_of(functions)
    # It stays in the binary: artifacts that are committed have the first of these.
    own = "interface" if interface == PLUGIN_INTERFACE else interface.rpartition("/")[2]
    lines = [f"(component ${own}-component"]
    lines += [f"(type ${name}-shape {TYPES[name]})" for name in types]
    lines += [f'(import "type-{name}" (type ${name}-in (eq ${name}-shape)))' for name in types]
    lines += [
        f'(import "func-{name}" (func ${name} {_func(function, "${}-in")}))'
        for name, function in functions.items()
    ]
    lines += [f'(export ${name}-out "{name}" (type ${name}-shape))' for name in types]
    lines += [
        f'(export "{name}" (func ${name}) (func {_func(function, "${}-out")}))'
        for name, function in functions.items()
    ]
    lines.append(")")
    lines.append(f"(instance ${own} (instantiate ${own}-component")
    lines += [f'(with "type-{name}" (type ${name}))' for name in types]
    lines += [f'(with "func-{name}" (func ${name}))' for name in functions]
    return [*lines, "))", f'(export "{interface}" (instance ${own}))']


def _types_of(*interfaces: Mapping[str, WorldFunction]) -> list[str]:
    """The named types of these functions, each once."""
    types = (name for functions in interfaces for function in functions.values() for name in function.types)
    return list(dict.fromkeys(types))


def _func(function: WorldFunction, spelling: str) -> str:
    """The function's component type, with its named types spelled as `spelling` says."""
    return function.wat.format(*(spelling.format(name) for name in function.types))
