"""The world `grain-plugin` as a table: its functions, their types, and what the canonical ABI makes of them.

The same as `plugins/wit/`, in the form that `wrap.py` and `component_text.py` work with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Interface that a plugin exports; its functions are `grain:plugin/plugin#init` and so on.
PLUGIN_INTERFACE = "grain:plugin/plugin"
#: An interface of ours that it may export as well: many calls in one instance.
BATCH_INTERFACE = "penstock:batch/batch"
#: Interface that the host offers; its functions are imported from the module of this name.
HOST_INTERFACE = "grain:plugin/host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A core function's type, spelled with the names of wasm's value types."""

    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"({', '.join(self.params)}) -> ({', '.join(self.results)})"

    def wat(self) -> str:
        """The type as `(param …) (result …)`."""
        params = f"(param {' '.join(self.params)})" if self.params else ""
        results = f"(result {' '.join(self.results)})" if self.results else ""
        return f"{params} {results}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFunction:
    """One function of the world: its component type, and what the canonical ABI makes of it."""

    #: The component type after `func`; `{0}` and so on are the names of `types`.
    wat: str
    #: The flattened core type.
    core: Signature
    #: Named types that `wat` mentions.
    types: tuple[str, ...] = ()


def _core(params: int, *, returns: bool) -> Signature:
    return Signature(params=("i32",) * params, results=("i32",) if returns else ())


#: What a plugin exports, in contract order.
EXPORTS: Mapping[str, WorldFunction] = {
    "init": WorldFunction(
        wat="(result (result {0} (error string)))", core=_core(0, returns=True), types=("plugin-info",)
    ),
    "list-tools": WorldFunction(wat="(result (list {0}))", core=_core(0, returns=True), types=("tool-def",)),
    "call-tool": WorldFunction(
        wat='(param "name" string) (param "args-json" string) (result {0})',
        core=_core(4, returns=True),
        types=("tool-result",),
    ),
}

#: What it may export as well, all of it or nothing.
BATCH_EXPORTS: Mapping[str, WorldFunction] = {
    "call-tool-batch": WorldFunction(
        wat='(param "name" string) (param "args-json" (list string)) (result (list {0}))',
        core=_core(4, returns=True),
        types=("tool-result",),
    ),
}

#: The interfaces that a plugin may export, and their functions.
INTERFACES: Mapping[str, Mapping[str, WorldFunction]] = {
    PLUGIN_INTERFACE: EXPORTS,
    BATCH_INTERFACE: BATCH_EXPORTS,
}

#: What a plugin may import.
HOST_FUNCTIONS: Mapping[str, WorldFunction] = {
    "log": WorldFunction(
        wat='(param "level" {0}) (param "msg" string)', core=_core(3, returns=False), types=("log-level",)
    ),
    "env-get": WorldFunction(
        wat='(param "key" string) (result (option string))', core=_core(3, returns=False)
    ),
    "http-get": WorldFunction(
        wat='(param "url" string) (param "headers" (list (tuple string string)))'
        " (result (result {0} (error string)))",
        core=_core(5, returns=False),
        types=("http-response",),
    ),
    "http-post": WorldFunction(
        wat='(param "url" string) (param "headers" (list (tuple string string))) (param "body" string)'
        " (result (result {0} (error string)))",
        core=_core(7, returns=False),
        types=("http-response",),
    ),
}

#: Definitions of the named types; none refers to another.
TYPES: Mapping[str, str] = {
    "log-level": '(enum "debug" "info" "warn" "error")',
    "http-response": '(record (field "status" u16) (field "headers" (list (tuple string string)))'
    ' (field "body" string))',
    "plugin-info": '(record (field "name" string) (field "version" string))',
    "tool-def": '(record (field "name" string) (field "label" string) (field "description" string)'
    ' (field "parameters-json" string))',
    "tool-result": '(record (field "content-json" string) (field "is-error" bool))',
}

#: Every core export that must be there, besides `memory`.
REQUIRED_EXPORTS: Mapping[str, Signature] = {
    "cabi_realloc": _core(4, returns=True),
    **{f"{PLUGIN_INTERFACE}#{name}": function.core for name, function in EXPORTS.items()},
}
#: Core exports that are used when they are there.
OPTIONAL_EXPORTS: Mapping[str, Signature] = {
    "_initialize": _core(0, returns=False),
    **{f"{BATCH_INTERFACE}#{name}": function.core for name, function in BATCH_EXPORTS.items()},
    **{
        f"cabi_post_{interface}#{name}": _core(1, returns=False)
        for interface, functions in INTERFACES.items()
        for name in functions
    },
}
