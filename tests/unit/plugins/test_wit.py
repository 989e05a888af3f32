"""The worlds in `plugins/wit/`, and whether the rest of Penstock means the same by them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

from penstock_plugins.shipped import wit_folder
from penstock_workers.toolchain.world import BATCH_EXPORTS, EXPORTS, HOST_FUNCTIONS, TYPES, WorldFunction

_INTERFACE = re.compile(r"^interface ([\w-]+) \{(.*?)^\}", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"(enum|record|variant) ([\w-]+) \{(.*?)\}", re.DOTALL)
_FUNCTION = re.compile(r"([\w-]+): func\((.*?)\)(?: -> (.*?))?;")


@dataclass
class Interface:
    """One interface, as text: named types and functions in the spelling of WebAssembly's text format."""

    types: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)


def package(file: str = "grain-plugin.wit") -> str:
    """The file without its comments."""
    return re.sub(r"//.*", "", (wit_folder() / file).read_text())


def interfaces(file: str = "grain-plugin.wit") -> dict[str, Interface]:
    """The interfaces of the package."""
    found = {}
    for name, body in _INTERFACE.findall(package(file)):
        interface = found[name] = Interface()
        for kind, type_name, members in _NAMED.findall(body):
            listed = [member.strip() for member in split(members)]
            interface.types[type_name] = f"({kind} {' '.join(map(MEMBERS[kind], listed))})"
        for function, params, result in _FUNCTION.findall(body):
            parts = [f'(param "{p}" {wat(t)})' for p, t in map(_pair, split(params))]
            interface.functions[function] = " ".join(parts + ([f"(result {wat(result)})"] if result else []))
    return found


def split(text: str) -> list[str]:
    """The parts between commas that are in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += {"<": 1, ">": -1, "(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def wat(wit: str) -> str:
    """A type of WIT in the text format."""
    outer, bracket, inner = wit.strip().partition("<")
    if not bracket:
        return outer
    args = [wat(arg) for arg in split(inner.removesuffix(">"))]
    return f"({outer} {args[0]} (error {args[1]}))" if outer == "result" else f"({outer} {' '.join(args)})"


def _pair(text: str) -> tuple[str, str]:
    name, _, wit = text.partition(":")
    return name.strip(), wit.strip()


def _field(member: str) -> str:
    name, wit = _pair(member)
    return f'(field "{name}" {wat(wit)})'


def _case(member: str) -> str:
    name, _, wit = member.partition("(")
    return f'(case "{name}" {wat(wit.removesuffix(")"))})'


MEMBERS = {"enum": lambda member: f'"{member}"', "record": _field, "variant": _case}


def test_3_1_the_package_has_no_version() -> None:
    """So that the names in a component are `grain:plugin/plugin` and so on, for ever."""
    assert "package grain:plugin;" in package()
    assert sorted(interfaces()) == ["host", "orchestration", "plugin"]


@pytest.mark.parametrize(("interface", "table"), [("plugin", EXPORTS), ("host", HOST_FUNCTIONS)])
def test_3_1_the_builder_of_components_means_the_same(
    interface: str, table: dict[str, WorldFunction]
) -> None:
    """Same functions, same parameters by name and type, in the same order."""
    spelled = {name: function.wat.format(*function.types) for name, function in table.items()}

    assert interfaces()[interface].functions == spelled


def test_3_1_the_builder_of_components_has_the_same_types() -> None:
    """Same fields and cases, in the same order: the canonical ABI goes by position."""
    found = interfaces()

    assert found["host"].types | found["plugin"].types == TYPES


def test_3_1_orchestration_has_the_functions_and_types_of_the_contract() -> None:
    """Spelled out: nothing else in Penstock reads it yet."""
    found = interfaces()["orchestration"]

    assert found.functions == {
        "list-roles": "(result (list role-def))",
        "list-hooks": "(result (list hook-def))",
        "call-hook": '(param "point" hook-point) (param "context-json" string)'
        " (result (result (list host-action) (error string)))",
    }
    assert found.types == {
        "hook-point": '(enum "before-agent-start" "after-tool-call"'
        ' "prepare-next-turn" "should-stop-after-turn")',
        "role-def": '(record (field "name" string) (field "model" string) (field "prompt" string)'
        ' (field "tools" (list string)) (field "thinking-level" (option string)))',
        "hook-def": '(record (field "point" hook-point) (field "name" string))',
        "ui-header": '(record (field "provider" (option string)) (field "model" (option string)))',
        "host-action": '(variant (case "switch-role" string) (case "switch-model" string)'
        ' (case "set-system-prompt" string) (case "set-active-tools" (list string))'
        ' (case "inject-user-message" string) (case "stop-after-turn" bool) (case "emit-custom" string)'
        ' (case "set-ui-header" ui-header) (case "set-ui-status" string))',
    }


def test_3_1_a_plugin_of_the_first_world_fits_the_second() -> None:
    """v2 asks for one export more, and offers nothing else."""
    worlds = dict(re.findall(r"world ([\w-]+) \{(.*?)\}", package(), re.DOTALL))
    lines = {name: re.findall(r"[\w -]+;", body) for name, body in worlds.items()}
    clean = {name: [line.strip(" ;") for line in found] for name, found in lines.items()}

    assert clean == {
        "grain-plugin": ["import host", "export plugin"],
        "grain-plugin-v2": ["import host", "export plugin", "export orchestration"],
    }


def test_B5_the_batch_entry_point_is_a_package_of_its_own() -> None:
    """The contract's worlds stay as they are; its result is that of a single call."""
    batch = interfaces("batch/penstock-batch.wit")

    spelled = {name: function.wat.format(*function.types) for name, function in BATCH_EXPORTS.items()}
    assert "package penstock:batch;" in package("batch/penstock-batch.wit")
    assert list(batch) == ["batch"]
    assert batch["batch"].functions == spelled
    assert batch["batch"].types == {"tool-result": TYPES["tool-result"]}
