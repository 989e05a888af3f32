"""Declares tools to language models and their clients, in the shapes that these read (T-6).

A declaration is made from the tool alone. The schema of its params goes through as it is: where a model's
vendor asks for less than JSON Schema 2020-12, that is the vendor's to say, not ours to guess.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from penstock_plugins.errors import CatalogError, ConfigurationError, ToolNotFoundError
from penstock_plugins.tool import Tool

#: The alphabet and length that every vendor takes. Dots are in none but Gemini's and MCP's.
_MODEL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
#: Characters of a name that had to be cut, before `_` and the digits of its hash: 64 in all.
_KEPT_CHARS = 55
_HASH_DIGITS = 8


def declarations(tools: Iterable[Tool], shape: str) -> list[dict[str, Any]]:
    """What goes into the `tools` of a request to a model, or into the answer to `tools/list`.

    Args:
        tools: which to declare.
        shape: one of `SHAPES`. `json` has the names that `submit` takes; in the others a tool is called
            `model_name(tool)`, and `tool_of_model_name` finds it again.

    Raises:
        CatalogError: two of the tools would have the same name.
        ConfigurationError: there is no such shape.
    """
    declare = SHAPES.get(shape)
    if declare is None:
        raise ConfigurationError(f"There are no declarations of shape {shape!r}: use {', '.join(SHAPES)}")
    return declare(list(_by_model_name(tools).values()))


def model_name(tool: Tool) -> str:
    """What a model calls a tool: `plugin__tool`, in at most 64 of the characters that all vendors take."""
    name = f"{tool.plugin}__{tool.name}"
    if _MODEL_NAME.fullmatch(name):
        return name
    digits = hashlib.sha256(tool.full_name.encode()).hexdigest()[:_HASH_DIGITS]
    return f"{_OTHER.sub('_', name)[:_KEPT_CHARS]}_{digits}"


def tool_of_model_name(name: str, tools: Iterable[Tool]) -> Tool:
    """The tool that a model means; `tools` are those that were declared to it.

    Raises:
        ToolNotFoundError: none of them.
        CatalogError: two of the tools have the same name.
    """
    found = _by_model_name(tools).get(name)
    if found is None:
        raise ToolNotFoundError(f"Unknown tool: {name[:200]}. It was not declared to the model")
    return found


def _by_model_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    """The tools by the name that a model has for each."""
    named: dict[str, Tool] = {}
    for tool in tools:
        other = named.setdefault(model_name(tool), tool)
        if other is not tool:
            raise CatalogError(
                f"Models would call both {other.full_name} and {tool.full_name} {model_name(tool)}: "
                "declare one of them"
            )
    return named


def _json(tools: list[Tool]) -> list[dict[str, Any]]:
    return [
        {"name": tool.full_name, "description": tool.description, "parameters": tool.parameters}
        for tool in tools
    ]


def _gemini(tools: list[Tool]) -> list[dict[str, Any]]:
    # `parameters` would be Gemini's subset of OpenAPI; this one is JSON Schema.
    functions = [_named(tool, "parametersJsonSchema") for tool in tools]
    return [{"functionDeclarations": functions}] if functions else []


def _openai(tools: list[Tool]) -> list[dict[str, Any]]:
    # Chat Completions' nested shape, which OpenAI-compatible servers read too. Not `strict`: that asks for
    # closed schemas in which every property is required, and would change what the tool takes.
    return [{"type": "function", "function": _named(tool, "parameters")} for tool in tools]


def _anthropic(tools: list[Tool]) -> list[dict[str, Any]]:
    return [_named(tool, "input_schema") for tool in tools]


def _mcp(tools: list[Tool]) -> list[dict[str, Any]]:
    return [
        _named(tool, "inputSchema") | _title(tool) | {"annotations": _annotations(tool)} for tool in tools
    ]


def _named(tool: Tool, schema_key: str) -> dict[str, Any]:
    return {"name": model_name(tool), "description": tool.description, schema_key: tool.parameters}


def _title(tool: Tool) -> dict[str, Any]:
    return {"title": tool.label} if tool.label else {}


def _annotations(tool: Tool) -> dict[str, Any]:
    traits = tool.traits
    changes = traits.writes_files or traits.executes_commands
    return {
        "readOnlyHint": not (changes or traits.accesses_network),
        "destructiveHint": changes,
        "idempotentHint": traits.idempotent,
        "openWorldHint": traits.accesses_network,
    }


#: The shapes by name.
SHAPES: Mapping[str, Callable[[list[Tool]], list[dict[str, Any]]]] = {
    "json": _json,
    "gemini": _gemini,
    "openai": _openai,
    "anthropic": _anthropic,
    "mcp": _mcp,
}
