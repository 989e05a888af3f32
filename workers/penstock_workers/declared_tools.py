"""What a guest says of itself and its tools, held against its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from penstock_plugins.errors import ManifestError
from penstock_plugins.manifest import TOOL_NAME, ToolTable
from penstock_plugins.schema import check_schema
from penstock_plugins.tool import Tool
from penstock_workers.text import clean
from penstock_workers.world import HOST

if TYPE_CHECKING:
    from penstock_workers.guest import PluginInfo, ToolDef
    from penstock_workers.inspection import Inspection

#: Bytes of one tool's schema.
MAX_SCHEMA_BYTES = 64 * 1024


def check_info(found: Inspection, info: PluginInfo) -> None:
    """Write down where `init` and the manifest differ."""
    manifest = found.bundle.manifest
    for what, theirs, ours in (
        ("name", info.name, manifest.name),
        ("version", info.version, manifest.version),
    ):
        if theirs != ours:
            found.add(
                f"Its init says the {what} is '{clean(theirs, 128)}', the manifest says '{ours}'",
                "Let them agree",
            )


def read_tools(found: Inspection, listed: list[ToolDef]) -> list[Tool]:
    """The tools as they will be called; what is wrong with them is written down."""
    manifest = found.bundle.manifest
    names = [tool.name for tool in listed]
    if not names:
        found.add("It declares no tools", "Return at least one from `list-tools`")
    for name in sorted({name for name in names if names.count(name) > 1}):
        found.add(f'Tool "{clean(name, 128)}" is declared twice', "Give each tool a name of its own")
    if manifest.tools:
        declared = {table.name for table in manifest.tools}
        for name in sorted(declared - set(names)):
            found.add(f"The manifest declares the tool '{name}', the guest does not", "Let them agree")
        for name in sorted(set(names) - declared):
            found.add(f"The guest has the tool '{clean(name, 128)}', the manifest does not", "Add [[tool]]")
    pure = _imports_only_log(found.imports)
    tools = (_read_tool(found, tool, pure) for tool in listed)
    return [tool for tool in tools if tool is not None]


def _read_tool(found: Inspection, listed: ToolDef, pure: bool) -> Tool | None:
    manifest = found.bundle.manifest
    if not TOOL_NAME.fullmatch(listed.name):
        found.add(
            f"'{clean(listed.name, 128)}' is no name for a tool",
            "Begin with a letter; use letters, digits, - and _",
        )
        return None
    table = manifest.tool_table(listed.name) or ToolTable(name=listed.name)
    try:
        parameters = _schema(listed.parameters_json)
    except (ManifestError, ValueError) as error:
        found.add(f"The parameters of {listed.name} cannot be used: {clean(str(error))}", "Mend its schema")
        return None
    return Tool(
        name=listed.name,
        plugin=manifest.name,
        version=manifest.version,
        label=clean(listed.label, 256),
        description=table.description or "\n".join(map(clean, listed.description[:8192].splitlines())),
        parameters=parameters,
        traits=table.traits(proved_idempotent=pure),
        delivery=table.delivery(),
    )


def _schema(text: str) -> dict[str, Any]:
    """The schema that a guest declares.

    Raises:
        ManifestError: it is no JSON Schema of an object.
        ValueError: it is no JSON, or too long.
    """
    if len(text.encode()) > MAX_SCHEMA_BYTES:
        raise ValueError(f"the schema is longer than {MAX_SCHEMA_BYTES} bytes")
    parameters = orjson.loads(text)
    check_schema(parameters)
    if not isinstance(parameters, dict):
        raise ManifestError("the schema must be an object")
    return parameters


def _imports_only_log(imports: Mapping[str, list[str]]) -> bool:
    """Whether the same call must always give the same result: there is nothing else that it could ask."""
    return all(name == HOST and set(functions) <= {"log"} for name, functions in imports.items())
