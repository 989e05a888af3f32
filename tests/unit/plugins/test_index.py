"""Names of tools: full, short and with a version."""

from __future__ import annotations

import pytest

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ToolNotFoundError
from penstock_plugins.index import ToolIndex
from tests.support.bundles import make_record

TEXT_1 = make_record("text", "1.9.0", tools=("stats", "slug"))
TEXT_2 = make_record("text", "1.10.0", tools=("stats", "distance"))
TEXT_RC = make_record("text", "2.0.0-rc.1", tools=("stats",))
HTML = make_record("html", "0.1.0", tools=("strip", "slug", "stats"))
INDEX = ToolIndex([TEXT_2, TEXT_RC, HTML, TEXT_1])


def test_T1_a_full_name_is_the_plugin_and_the_tool() -> None:
    """The answer has the digest that a call is pinned to."""
    found = INDEX.resolve("html.slug")

    assert (found.tool.full_name, found.digest, found.record) == ("html.slug", HTML.digest, HTML)


def test_T1_a_short_name_works_where_it_is_clear() -> None:
    """Only one plugin has it, in the release that counts: text 1.9.0 had a slug, 1.10.0 has none."""
    assert INDEX.resolve("strip").tool.full_name == "html.strip"
    assert INDEX.resolve("distance").digest == TEXT_2.digest
    assert INDEX.resolve("slug").tool.full_name == "html.slug"


def test_T1_a_short_name_that_could_be_two_tools_names_both() -> None:
    """So that the caller can choose."""
    with pytest.raises(ToolNotFoundError, match=r"use one of html\.stats, text\.stats") as caught:
        INDEX.resolve("stats")

    assert caught.value.code is ErrorCode.TOOL_NOT_FOUND


def test_I5_a_name_without_a_version_means_the_highest_release() -> None:
    """By value, not by letter, and no prerelease."""
    assert INDEX.resolve("text.stats").tool.version == "1.10.0"
    assert {tool.full_name: tool.version for tool in INDEX.tools()} == {
        "html.slug": "0.1.0",
        "html.stats": "0.1.0",
        "html.strip": "0.1.0",
        "text.distance": "1.10.0",
        "text.stats": "1.10.0",
    }


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("text@1.9.0.slug", TEXT_1),
        ("text@1.10.0.stats", TEXT_2),
        ("text@2.0.0-rc.1.stats", TEXT_RC),
    ],
)
def test_I5_a_name_with_a_version_means_that_one(name: str, record: object) -> None:
    """Prereleases are to be had by their own name."""
    assert INDEX.resolve(name).record is record


def test_a_plugin_that_has_only_prereleases_can_be_called_all_the_same() -> None:
    """Its author does so before the first release."""
    index = ToolIndex([make_record("new", "0.1.0-alpha.2"), make_record("new", "0.1.0-alpha.10")])

    assert index.resolve("new.stats").tool.version == "0.1.0-alpha.10"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "@",
        "nothing",
        "text.",
        ".stats",
        "nope.stats",
        "text@.stats",
        "text@1.9.0",
        "a@b@c.d",
        "text.a.b",
    ],
)
def test_T3_what_is_no_tool_is_unknown_by_its_name(name: str) -> None:
    """The message begins with what was asked for."""
    with pytest.raises(ToolNotFoundError) as caught:
        INDEX.resolve(name)

    assert str(caught.value).startswith(f"Unknown tool: {name}. ")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("text.stat", "Did you mean text.stats"),
        ("distanse", "Did you mean text.distance"),
        ("txt.strip", "Did you mean html.strip"),
        ("something.else", "List the known ones with `penstock tools`"),
        ("text@3.0.0.stats", "text is published as 1.9.0, 1.10.0, 2.0.0-rc.1"),
        ("text@1.9.0.distance", "text 1.9.0 has stats, slug"),
    ],
)
def test_an_unknown_tool_comes_with_advice(name: str, advice: str) -> None:
    """What is alike, or what there is."""
    with pytest.raises(ToolNotFoundError) as caught:
        INDEX.resolve(name)

    assert advice in str(caught.value)


def test_a_name_that_is_no_text_for_a_terminal_is_made_one() -> None:
    """It may have come from anywhere, at any length."""
    with pytest.raises(ToolNotFoundError) as caught:
        INDEX.resolve("\x1b[2J" + "x" * 100_000)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_an_index_of_nothing_knows_nothing() -> None:
    """And says so."""
    index = ToolIndex([])

    assert index.tools() == []
    with pytest.raises(ToolNotFoundError, match="penstock tools"):
        index.resolve("text.stats")
