"""`penstock tools`: which tools there are, what one takes, and their declarations for language models."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import NAME, NUMBER, QUIET, out, print_json, print_table, safe, say_note
from penstock.cli.delivery_lines import delivery_lines
from penstock.cli.options import AsJson
from penstock.cli.system import open_catalog

if TYPE_CHECKING:
    from penstock_plugins.tool import Tool, Traits


class Shape(StrEnum):
    """The declarations that language models and their clients read (T-6)."""

    JSON = "json"
    GEMINI = "gemini"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    MCP = "mcp"


def tools(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[TOOL]", help="Show this one with its params.")
    ] = None,
    as_json: AsJson = False,
    shape: Annotated[
        Shape | None,
        typer.Option("--format", "--shape", help="Print declarations for a language model instead."),
    ] = None,
) -> None:
    """List the tools that can be called, or show what one of them takes.

    [bold]Examples[/bold]

      penstock tools
      penstock tools text.stats
      penstock tools --format anthropic > tools.json
    """
    from penstock_plugins.declarations import declarations
    from penstock_plugins.index import ToolIndex

    with open_catalog(context) as catalog:
        index = ToolIndex(catalog.records())
    found = [index.resolve(name).tool] if name is not None else index.tools()
    if shape is not None:
        print_json(declarations(found, shape.value))
    elif as_json:
        shapes = [_shape(tool) for tool in found]
        print_json(shapes[0] if name is not None else shapes)
    elif name is not None:
        _show(found[0])
    elif not found:
        say_note("There are no tools yet: publish a plugin with `penstock plugin publish DIR`.")
    else:
        print_table(
            ("tool", "version", "traits", "what it does"),
            [
                (Text(tool.full_name, NAME), tool.version, traits_text(tool.traits), _first_sentence(tool))
                for tool in found
            ],
        )


def traits_text(traits: Traits) -> str:
    """What a tool may do, in few words."""
    words = [
        ("writes files", traits.writes_files),
        ("runs commands", traits.executes_commands),
        ("uses the network", traits.accesses_network),
        ("idempotent", traits.idempotent),
        ("retryable", traits.retryable),
    ]
    return ", ".join(word for word, holds in words if holds) or "once only"


def _shape(tool: Tool) -> dict[str, Any]:
    return {"full_name": tool.full_name, **tool.to_dict()}


def _first_sentence(tool: Tool) -> str:
    line = (tool.description or tool.label).strip().partition("\n")[0]
    return safe(line.partition(". ")[0].removesuffix("."))


def _show(tool: Tool) -> None:
    out().print(
        Text.assemble((tool.full_name, NAME), f"  {tool.version}  ", (traits_text(tool.traits), QUIET))
    )
    if tool.description:
        out().print(Text(safe(tool.description)))
    properties: dict[str, Any] = tool.parameters.get("properties") or {}
    required = tool.parameters.get("required") or ()
    if properties:
        print_table(
            ("param", "type", "", "what it is"),
            [
                (
                    Text(safe(name), NUMBER),
                    _type(schema),
                    "required" if name in required else _default(schema),
                    safe(str(schema.get("description", ""))) if isinstance(schema, dict) else "",
                )
                for name, schema in properties.items()
            ],
        )
    for what, said in delivery_lines(tool):
        out().print(Text.assemble((f"  {what:<8}", QUIET), safe(said)))
    example = " ".join(f"{name}=…" for name in required)
    out().print(Text(f"penstock call {tool.full_name} {example}".rstrip(), QUIET))


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema:
        return safe(" | ".join(str(value) for value in schema["enum"]))
    said = schema.get("type", "any")
    return " | ".join(said) if isinstance(said, list) else str(said)


def _default(schema: Any) -> str:
    return safe(f"default {schema['default']!r}") if isinstance(schema, dict) and "default" in schema else ""
