"""Tools: their names, their traits, and their way through JSON."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.tool import Tool, Traits
from tests.support.bundles import make_tool

TRAITS = st.builds(
    Traits,
    writes_files=st.booleans(),
    executes_commands=st.booleans(),
    accesses_network=st.booleans(),
    idempotent=st.booleans(),
    retryable=st.booleans(),
)


def test_T1_a_tool_is_called_by_its_plugin_and_its_name() -> None:
    """`plugin.tool`."""
    assert make_tool("stats", plugin="text").full_name == "text.stats"


@given(traits=TRAITS)
def test_E4_a_tool_runs_once_only_when_it_is_neither_idempotent_nor_retryable(traits: Traits) -> None:
    """Either is enough to run it again after a lost worker."""
    assert traits.once_only is not (traits.idempotent or traits.retryable)


def test_E4_a_tool_of_which_nothing_is_known_runs_once_only() -> None:
    """The default is the careful one."""
    assert Tool(name="a", plugin="b").traits.once_only


@given(traits=TRAITS)
def test_T1_a_tool_comes_back_from_json_as_it_went_in(traits: Traits) -> None:
    """With its schema and its traits."""
    tool = Tool(name="a", plugin="b", version="1.2.3", description="d", label="l", traits=traits)

    assert Tool.from_dict(orjson.loads(orjson.dumps(tool.to_dict()))) == tool


def test_what_is_not_said_of_a_tool_has_its_default() -> None:
    """A name and a plugin will do: any object fits its schema."""
    assert Tool.from_dict({"name": "a", "plugin": "b"}) == Tool(name="a", plugin="b")
    assert Tool.from_dict({"name": "a", "plugin": "b"}).parameters == {"type": "object"}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a.b"},
        {"name": ""},
        {"name": None},
        {"plugin": None},
        {"colour": "red"},
        {"parameters": "x"},
        {"traits": []},
        {"traits": {"idempotent": 1}},
        {"traits": {"brave": True}},
        {"description": 1},
        {"delivery": []},
    ],
)
def test_what_is_no_tool_is_refused(change: dict[str, object]) -> None:
    """It comes from a catalog, which may be damaged."""
    with pytest.raises(ValueError, match=r"no tool's declaration|delivered"):
        Tool.from_dict({**make_tool().to_dict(), **change})
