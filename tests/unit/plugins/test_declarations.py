"""Declarations for language models: the shapes they read, names they take, and the way back."""

from __future__ import annotations

import dataclasses
import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.declarations import SHAPES, declarations, model_name, tool_of_model_name
from penstock_plugins.errors import CatalogError, ConfigurationError, ToolNotFoundError
from penstock_plugins.tool import Tool, Traits
from tests.support.bundles import make_tool

STATS = make_tool("stats")
PLUGIN_NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True)
TOOL_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,63}", fullmatch=True)


def test_T6_json_has_the_name_that_submit_takes() -> None:
    """Name, description and schema as they are."""
    assert declarations([STATS], "json") == [
        {"name": "text.stats", "description": "What stats does.", "parameters": STATS.parameters}
    ]


def test_T6_gemini_gets_function_declarations_with_json_schema() -> None:
    """One tool of a request, with all functions in it; without functions there is no such tool."""
    assert declarations([STATS, make_tool("slug")], "gemini") == [
        {
            "functionDeclarations": [
                {
                    "name": "text__stats",
                    "description": "What stats does.",
                    "parametersJsonSchema": STATS.parameters,
                },
                {
                    "name": "text__slug",
                    "description": "What slug does.",
                    "parametersJsonSchema": STATS.parameters,
                },
            ]
        }
    ]
    assert declarations([], "gemini") == []


def test_T6_openai_gets_functions() -> None:
    """The nested shape of Chat Completions."""
    assert declarations([STATS], "openai") == [
        {
            "type": "function",
            "function": {
                "name": "text__stats",
                "description": "What stats does.",
                "parameters": STATS.parameters,
            },
        }
    ]


def test_T6_anthropic_gets_an_input_schema() -> None:
    """Flat, with `input_schema`."""
    assert declarations([STATS], "anthropic") == [
        {"name": "text__stats", "description": "What stats does.", "input_schema": STATS.parameters}
    ]


def test_T6_mcp_gets_the_traits_as_annotations() -> None:
    """With `inputSchema`, a title where there is a label, and hints that follow from the traits."""
    writer = dataclasses.replace(
        make_tool("save"), label="", traits=Traits(writes_files=True, accesses_network=True)
    )

    stats, save = declarations([STATS, writer], "mcp")

    assert stats == {
        "name": "text__stats",
        "title": "Stats",
        "description": "What stats does.",
        "inputSchema": STATS.parameters,
        "annotations": {
            "readOnlyHint": True,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": False,
        },
    }
    assert "title" not in save
    assert save["annotations"] == {
        "readOnlyHint": False,
        "destructiveHint": True,
        "idempotentHint": False,
        "openWorldHint": True,
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_T6_every_shape_is_json(shape: str) -> None:
    """It can be sent, and nothing of it is shared with the next one's."""
    assert orjson.loads(orjson.dumps(declarations([STATS], shape))) == declarations([STATS], shape)


def test_a_shape_that_does_not_exist_is_refused_with_those_that_do() -> None:
    """The message lists them."""
    with pytest.raises(ConfigurationError, match="json, gemini, openai, anthropic, mcp"):
        declarations([STATS], "soap")


@given(plugin=PLUGIN_NAMES, name=TOOL_NAMES)
def test_T6_any_tool_has_a_name_that_every_vendor_takes(plugin: str, name: str) -> None:
    """64 characters of the common alphabet at most, and the way back leads to the same tool."""
    tool = Tool(name=name, plugin=plugin)

    called = model_name(tool)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", called)
    assert tool_of_model_name(called, [make_tool("other", plugin="another"), tool]) is tool


def test_T6_a_name_that_is_cut_stays_distinct() -> None:
    """Two long names with the same beginning are told apart."""
    tools = [Tool(name="a" * 60 + end, plugin="long-enough") for end in ("x", "y")]

    names = {model_name(tool) for tool in tools}

    assert len(names) == 2
    assert [tool_of_model_name(model_name(tool), tools) for tool in tools] == tools


def test_T6_two_tools_that_would_have_one_name_are_refused() -> None:
    """The message names both, in whatever shape."""
    tools = [Tool(name="b__c", plugin="a"), Tool(name="c", plugin="a__b")]

    for shape in SHAPES:
        with pytest.raises(CatalogError, match=r"a\.b__c and a__b\.c"):
            declarations(tools, shape)
    with pytest.raises(CatalogError):
        tool_of_model_name("a__b__c", tools)


def test_T6_a_model_can_only_call_what_was_declared_to_it() -> None:
    """Another name is an unknown tool, in the contract's words."""
    with pytest.raises(ToolNotFoundError, match=r"^Unknown tool: text__wipe"):
        tool_of_model_name("text__wipe", [STATS])
