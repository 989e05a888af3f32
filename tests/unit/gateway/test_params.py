"""Params from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from penstock.cli.params import read_params

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "deep": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "sizes": {"type": "array", "items": {"$ref": "#/$defs/size"}},
        "options": {"type": "object"},
        "limit": {"type": ["integer", "null"]},
        "mode": {"enum": ["fast", "slow"]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "loop": {"$ref": "#/$defs/loop"},
    },
    "$defs": {"size": {"type": "integer"}, "loop": {"$ref": "#/$defs/loop"}},
}


def typed(*pairs: str, whole: str | None = None) -> dict[str, Any]:
    """The params that a command line leads to."""
    return read_params(pairs, whole).typed(SCHEMA)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("text=hello", "hello"),
        ("text=42", "42"),
        ("text=true", "true"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("text=@@someone", "@someone"),
        ("count=42", 42),
        ("count=forty", "forty"),
        ("count=4.5", "4.5"),
        ("ratio=1", 1),
        ("ratio=0.5", 0.5),
        ("deep=yes", True),
        ("deep=False", False),
        ("deep=1", True),
        ("deep=perhaps", "perhaps"),
        ("tags=a", ["a"]),
        ('tags=["a","b"]', ["a", "b"]),
        ("sizes=3", [3]),
        ('options={"a":1}', {"a": 1}),
        ("limit=null", None),
        ("limit=3", 3),
        ("mode=fast", "fast"),
        ("either=7", 7),
        ("either=seven", "seven"),
        ("loop=1", 1),
        ("unknown=1", 1),
        ("unknown=word", "word"),
        ("text:=42", 42),
        ('text:={"a":[1]}', {"a": [1]}),
    ],
)
def test_a_pair_is_typed_by_its_property(pair: str, value: Any) -> None:
    """The text becomes the type that the schema gives it, and stays a text where it does not fit."""
    key = pair.partition("=")[0].rstrip(":")

    params = typed(pair)

    assert params == {key: value}
    assert type(params[key]) is type(value)


def test_a_repeated_key_collects_into_an_array() -> None:
    """`tag=a tag=b` is how shells say a list."""
    assert typed("tags=a", "tags=b") == {"tags": ["a", "b"]}


def test_a_repeated_key_that_is_no_array_is_refused() -> None:
    """Which of the two was meant cannot be known."""
    with pytest.raises(typer.BadParameter, match="text is given twice"):
        typed("text=a", "text=b")


def test_a_pair_wins_over_the_whole() -> None:
    """`--params` gives the base, pairs change it."""
    assert typed("count=2", whole='{"count": 1, "text": "x"}') == {"count": 2, "text": "x"}


def test_a_file_gives_a_text_or_the_whole(tmp_path: Path) -> None:
    """`key=@file` is the file's text; `--params @file` and `key:=@file` are its JSON."""
    file = tmp_path / "params.json"
    file.write_text('{"count": 3}')

    assert typed(f"text=@{file}") == {"text": '{"count": 3}'}
    assert typed(f"options:=@{file}") == {"options": {"count": 3}}
    assert typed(whole=f"@{file}") == {"count": 3}


@pytest.mark.parametrize(
    ("pairs", "whole", "message"),
    [
        (("hello",), None, "'hello' is not key=value"),
        (("=x",), None, "is not key=value"),
        (("count:=x",), None, "count:= is not JSON"),
        ((), "{", "--params is not JSON"),
        ((), "[1]", "must hold a JSON object"),
        ((), "@/nowhere/at-all.json", "/nowhere/at-all.json: No such file"),
        (("text=@/nowhere/at-all.txt",), None, "/nowhere/at-all.txt: No such file"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(
    pairs: tuple[str, ...], whole: str | None, message: str
) -> None:
    """Before anything is connected to."""
    with pytest.raises(typer.BadParameter, match=message):
        read_params(pairs, whole)
