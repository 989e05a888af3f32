"""The world `grain-plugin` as types, and how a component's own types differ from it.

wasmtime looks host functions up by name and hands over whatever the component says they take, and a wrongly
typed export loads happily. So both sides are compared here, once, when a component is linked or checked;
after that the sandbox knows the shape of every value that crosses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wasmtime import Engine
    from wasmtime.component import Component

PLUGIN = "grain:plugin/plugin"
HOST = "grain:plugin/host"

_HEADERS = "list<tuple<string, string>>"
_RESPONSE = f"record{{status: u16, headers: {_HEADERS}, body: string}}"
_TOOL_DEF = "record{name: string, label: string, description: string, parameters-json: string}"

#: What a component must export.
EXPORTS: Mapping[str, str] = {
    "init": "func() -> result<record{name: string, version: string}, string>",
    "list-tools": f"func() -> list<{_TOOL_DEF}>",
    "call-tool": "func(name: string, args-json: string) -> record{content-json: string, is-error: bool}",
}

#: What a component may import of the host.
IMPORTS: Mapping[str, str] = {
    "log": "func(level: enum{debug, info, warn, error}, msg: string)",
    "env-get": "func(key: string) -> option<string>",
    "http-get": f"func(url: string, headers: {_HEADERS}) -> result<{_RESPONSE}, string>",
    "http-post": f"func(url: string, headers: {_HEADERS}, body: string) -> result<{_RESPONSE}, string>",
}

#: Types nest in a binary as deep as its author likes; ours do not.
_DEEPEST = 6


def imports_of(component: Component, engine: Engine) -> dict[str, dict[str, str]]:
    """What a component imports: the functions of each interface, with their types spelled out.

    Something that is not an interface (a bare function, a module) has a single entry with an empty name.
    """
    return {name: _functions(item.ty, engine) for name, item in component.type.imports(engine).items()}


def export_problems(component: Component, engine: Engine) -> list[str]:
    """Why a component is not one of the world `grain-plugin`; empty when it is."""
    exports = component.type.exports(engine)
    if PLUGIN not in exports:
        return [f"it does not export {PLUGIN} (it exports {', '.join(exports) or 'nothing'})"]
    return _differences(PLUGIN, _functions(exports[PLUGIN].ty, engine), EXPORTS, missing_is_fine=False)


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


def _functions(item: Any, engine: Engine) -> dict[str, str]:
    from wasmtime.component import ComponentInstanceType, FuncType

    if isinstance(item, FuncType):
        return {"": _spell_function(item)}
    if not isinstance(item, ComponentInstanceType):
        return {"": type(item).__name__}
    types = ((name, export.ty) for name, export in item.exports(engine).items())
    return {name: _spell_function(ty) for name, ty in types if isinstance(ty, FuncType)}


def _spell_function(function: Any) -> str:
    params = ", ".join(f"{name}: {_spell(ty)}" for name, ty in function.params)
    result = function.result
    return f"func({params})" + (f" -> {_spell(result)}" if result is not None else "")


def _spell(ty: Any, depth: int = 0) -> str:
    """A type as WIT would write it, with records and variants written out where they are used."""
    from wasmtime import component as c

    def inner(of: Any) -> str:
        return "_" if of is None else _spell(of, depth + 1)

    if depth > _DEEPEST:
        return "…"
    match ty:
        case c.RecordType():
            return "record{" + ", ".join(f"{name}: {inner(of)}" for name, of in ty.fields) + "}"
        case c.ListType():
            return f"list<{inner(ty.element)}>"
        case c.TupleType():
            return f"tuple<{', '.join(inner(of) for of in ty.elements)}>"
        case c.OptionType():
            return f"option<{inner(ty.payload)}>"
        case c.ResultType():
            return f"result<{inner(ty.ok)}, {inner(ty.err)}>"
        case c.EnumType():
            return "enum{" + ", ".join(ty.names) + "}"
        case c.VariantType():
            return "variant{" + ", ".join(f"{name}({inner(of)})" for name, of in ty.cases) + "}"
        case c.FlagsType():
            return "flags{" + ", ".join(ty.names) + "}"
        case c.OwnType():
            return "own"
        case c.BorrowType():
            return "borrow"
        case _:
            return type(ty).__name__.removesuffix("Type").lower()
