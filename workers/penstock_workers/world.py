"""The world `grain-plugin` as types, and how a component's own types differ from it.

wasmtime looks host functions up by name and hands over whatever the component says they take, and a wrongly
typed export loads happily. So both sides are compared here, once, when a component is linked or checked;
after that the sandbox knows the shape of every value that crosses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from penstock_plugins.errors import PermissionDeniedError

if TYPE_CHECKING:
    from wasmtime import Engine
    from wasmtime.component import Component

PLUGIN = "grain:plugin/plugin"
HOST = "grain:plugin/host"
#: An interface of ours, which a component may export as well.
BATCH = "penstock:batch/batch"

_HEADERS = "list<tuple<string, string>>"
_RESPONSE = f"record{{status: u16, headers: {_HEADERS}, body: string}}"
_TOOL_DEF = "record{name: string, label: string, description: string, parameters-json: string}"

#: What a component must export.
EXPORTS: Mapping[str, str] = {
    "init": "func() -> result<record{name: string, version: string}, string>",
    "list-tools": f"func() -> list<{_TOOL_DEF}>",
    "call-tool": "func(name: string, args-json: string) -> record{content-json: string, is-error: bool}",
}

#: What it must export of `BATCH` when it exports that at all.
BATCH_EXPORTS: Mapping[str, str] = {
    "call-tool-batch": "func(name: string, args-json: list<string>)"
    " -> list<record{content-json: string, is-error: bool}>",
}

#: What a component may import of the host.
IMPORTS: Mapping[str, str] = {
    "log": "func(level: enum{debug, info, warn, error}, msg: string)",
    "env-get": "func(key: string) -> option<string>",
    "http-get": f"func(url: string, headers: {_HEADERS}) -> result<{_RESPONSE}, string>",
    "http-post": f"func(url: string, headers: {_HEADERS}, body: string) -> result<{_RESPONSE}, string>",
}

#: Interfaces that a component may import or export, and functions of each: wasmtime-py looks at every one.
MAX_INTERFACES = 100
MAX_FUNCTIONS = 300
#: Parts of a function's type that are spelled out; ours have less than half of it.
_SPELLED_PARTS = 60


def imports_of(component: Component, engine: Engine) -> dict[str, dict[str, str]]:
    """What a component imports: the functions of each interface, with their types spelled out.

    Something that is not an interface (a bare function, a module) has a single entry with an empty name.

    Raises:
        PermissionDeniedError: it imports more than anybody wants to look at.
    """
    from wasmtime import _ffi

    ty = component.type
    count = _ffi.wasmtime_component_type_import_count(ty.ptr(), engine.ptr())
    if count > MAX_INTERFACES:
        raise PermissionDeniedError(f"It imports {count} interfaces; at most {MAX_INTERFACES} are allowed")
    return {name: _functions(name, item.ty, engine) for name, item in ty.imports(engine).items()}


def export_problems(component: Component, engine: Engine) -> list[str]:
    """Why a component is not one of the world `grain-plugin`; empty when it is."""
    from wasmtime import _ffi

    ty = component.type
    count = _ffi.wasmtime_component_type_export_count(ty.ptr(), engine.ptr())
    if count > MAX_INTERFACES:
        return [f"it exports {count} interfaces; at most {MAX_INTERFACES} are allowed"]
    exports = ty.exports(engine)
    if PLUGIN not in exports:
        return [f"it does not export {PLUGIN} (it exports {', '.join(exports) or 'nothing'})"]
    problems = []
    for interface, expected in ((PLUGIN, EXPORTS), (BATCH, BATCH_EXPORTS)):
        if interface not in exports:
            continue
        try:
            functions = _functions(interface, exports[interface].ty, engine)
        except PermissionDeniedError as error:
            return [error.message]
        problems += _differences(interface, functions, expected, missing_is_fine=False)
    return problems


def host_problems(functions: Mapping[str, str]) -> list[str]:
    """How a component's idea of the host's interface differs from ours."""
    return _differences(HOST, functions, IMPORTS, missing_is_fine=True)


def _differences(
    interface: str, found: Mapping[str, str], expected: Mapping[str, str], *, missing_is_fine: bool
) -> list[str]:
    problems = []
    for name, spelled in expected.items():
        theirs = found.get(name)
        if theirs is None and not missing_is_fine:
            problems.append(f"{interface} has no {name}: {spelled}")
        elif theirs is not None and theirs != spelled:
            problems.append(f"{interface}#{name} must be {spelled}, it is {theirs}")
    if missing_is_fine:
        problems += [f"{interface} has no function {name}" for name in found if name not in expected]
    return problems


def _functions(interface: str, item: Any, engine: Engine) -> dict[str, str]:
    from wasmtime import _ffi
    from wasmtime.component import ComponentInstanceType, FuncType

    if isinstance(item, FuncType):
        return {"": _Speller().function(item)}
    if not isinstance(item, ComponentInstanceType):
        return {"": type(item).__name__}
    count = _ffi.wasmtime_component_instance_type_export_count(item.ptr(), engine.ptr())
    if count > MAX_FUNCTIONS:
        raise PermissionDeniedError(
            f"{interface} has {count} functions and types; at most {MAX_FUNCTIONS} are allowed"
        )
    types = ((name, export.ty) for name, export in item.exports(engine).items())
    return {name: _Speller().function(ty) for name, ty in types if isinstance(ty, FuncType)}


class _Speller:
    """Writes a type as WIT would, with records and variants written out where they are used.

    A type of a few lines may be a million parts when it is written out; after some of them the rest is "…".
    """

    def __init__(self) -> None:
        self._left = _SPELLED_PARTS

    def function(self, function: Any) -> str:
        """A function's type."""
        params = ", ".join(f"{name}: {self._spell(ty)}" for name, ty in function.params[:_SPELLED_PARTS])
        result = function.result
        return f"func({params})" + (f" -> {self._spell(result)}" if result is not None else "")

    def _spell(self, ty: Any) -> str:
        from wasmtime import component as c

        self._left -= 1
        if ty is None:
            return "_"
        if self._left < 0:
            return "…"
        match ty:
            case c.RecordType():
                return "record{" + self._named(ty.fields, ": ", "") + "}"
            case c.ListType():
                return f"list<{self._spell(ty.element)}>"
            case c.TupleType():
                return "tuple<" + self._all(ty.elements) + ">"
            case c.OptionType():
                return f"option<{self._spell(ty.payload)}>"
            case c.ResultType():
                return f"result<{self._spell(ty.ok)}, {self._spell(ty.err)}>"
            case c.EnumType():
                return "enum{" + ", ".join(ty.names[:_SPELLED_PARTS]) + "}"
            case c.VariantType():
                return "variant{" + self._named(ty.cases, "(", ")") + "}"
            case c.FlagsType():
                return "flags{" + ", ".join(ty.names[:_SPELLED_PARTS]) + "}"
            case c.OwnType():
                return "own"
            case c.BorrowType():
                return "borrow"
            case _:
                return type(ty).__name__.removesuffix("Type").lower()

    def _all(self, types: list[Any]) -> str:
        return ", ".join(self._spell(ty) for ty in types[: self._left + 1])

    def _named(self, parts: list[Any], before: str, after: str) -> str:
        return ", ".join(f"{name}{before}{self._spell(ty)}{after}" for name, ty in parts[: self._left + 1])
