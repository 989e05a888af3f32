"""Records: what a producer reads instead of the plugin, believed only as far as it makes sense."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.declarations import declarations
from penstock_plugins.errors import CatalogError
from penstock_plugins.index import ToolIndex
from penstock_plugins.record import MAX_RECORD_BYTES, PluginRecord
from tests.support.bundles import make_bundle, make_record, make_tool

RECORD = make_record(tools=("stats", "slug"))
SHAPE = orjson.loads(RECORD.to_json())
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["", "text", "1.0.0", "a" * 64, "plugin.wasm", "../x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def places(shape: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything inside JSON values."""
    inside = shape.items() if isinstance(shape, dict) else enumerate(shape) if isinstance(shape, list) else ()
    return [path] + [place for key, value in inside for place in places(value, (*path, key))]


def changed(shape: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at the end of that way."""
    if not path:
        return value
    copy = shape.copy()
    copy[path[0]] = changed(shape[path[0]], path[1:], value) if path[1:] else value
    return copy


def use(record: PluginRecord) -> None:
    """What producers and workers do with a record."""
    index = ToolIndex([record])
    for tool in index.tools():
        # Of two with one name the first is found.
        assert index.resolve(f"{record.name}@{record.version}.{tool.name}").tool.name == tool.name
        assert record.manifest.tool_table(tool.name) is None
    with suppress(CatalogError):  # of two with one name neither is declared
        declarations(record.tools, "mcp")
    record.manifest.limits()
    with suppress(CatalogError):
        assert PluginRecord.from_json(record.to_json()) == record


def test_I5_a_record_comes_back_as_it_went_in() -> None:
    """With the declarations of its tools, so that a producer needs nothing else."""
    assert PluginRecord.from_json(RECORD.to_json()) == RECORD
    assert PluginRecord.from_json(RECORD.to_json().encode()) == RECORD
    assert (RECORD.name, RECORD.version) == ("text", "1.0.0")


def test_I11_a_record_of_another_schema_version_is_refused_by_its_number() -> None:
    """A later release's record says so, instead of meaning something else."""
    with pytest.raises(CatalogError, match=r"version 2, this release reads 1"):
        PluginRecord.from_json(orjson.dumps({**SHAPE, "v": 2}))


@pytest.mark.parametrize("key", SHAPE)
def test_a_record_without_one_of_its_keys_is_refused(key: str) -> None:
    """Nothing has a default here."""
    with pytest.raises(CatalogError, match="cannot be read"):
        PluginRecord.from_json(orjson.dumps({k: v for k, v in SHAPE.items() if k != key}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("digest",), "text"),
        (("digest",), "A" * 64),
        (("files", 0, 1), -1),
        (("files", 0, 1), True),
        (("files", 0, 1), 1.5),
        (("files", 0, 2), "short"),
        (("files", 0), ["plugin.toml"]),
        (("tools", 0, "name"), "a.b"),
        (("tools", 0, "name"), 5),
        (("tools", 0, "plugin"), "another"),
        (("tools", 0, "traits", "idempotent"), "yes"),
        (("tools", 0, "traits"), {"brave": True}),
        (("tools", 0, "parameters"), []),
        (("tools", 0), {}),
        (("manifest", "name"), "Text!"),
        (("manifest", "colour"), "red"),
        (("imports",), [1]),
    ],
)
def test_what_makes_no_sense_is_refused(path: tuple[Any, ...], value: Any) -> None:
    """Each where it is."""
    with pytest.raises(CatalogError, match="cannot be read"):
        PluginRecord.from_json(orjson.dumps(changed(SHAPE, path, value)))


def test_a_record_that_is_too_long_is_neither_read_nor_written() -> None:
    """Every producer reads all of them; the author is told what to shorten."""
    wordy = dataclasses.replace(make_tool(), description="x" * MAX_RECORD_BYTES)

    with pytest.raises(CatalogError, match="longer than"):
        PluginRecord.from_json(b" " * (MAX_RECORD_BYTES + 1))
    with pytest.raises(CatalogError, match="shorten the descriptions"):
        dataclasses.replace(RECORD, tools=(wordy,)).to_json()


def test_a_tool_that_is_no_json_cannot_be_recorded() -> None:
    """Tools made in Python may hold anything."""
    odd = dataclasses.replace(make_tool(), parameters={"type": "object", "default": {1, 2}})

    with pytest.raises(CatalogError, match="no JSON"):
        dataclasses.replace(RECORD, tools=(odd,)).to_json()


def test_a_record_names_the_files_of_its_bundle() -> None:
    """As its digest saw them."""
    assert PluginRecord.from_json(RECORD.to_json()).files == make_bundle().entries


@given(text=st.text(max_size=100) | st.binary(max_size=100) | JSON.map(orjson.dumps))
def test_fuzz_no_text_raises_anything_but_our_own_error(text: str | bytes) -> None:
    """Whatever is in the catalog."""
    with pytest.raises(CatalogError):
        PluginRecord.from_json(text)


@given(text=st.integers(1, 2000).map(lambda depth: b"[" * depth + b"]" * depth))
def test_fuzz_deep_nesting_raises_nothing_else_either(text: bytes) -> None:
    """In the place of a record, and in the places where anything may stand."""
    nested = SHAPE["tools"][0]["parameters"]
    whole = orjson.dumps(SHAPE).replace(orjson.dumps(nested), b'{"type":"object","x":' + text + b"}")

    with pytest.raises(CatalogError):
        PluginRecord.from_json(text)
    with suppress(CatalogError):
        use(PluginRecord.from_json(whole))


@given(data=st.data())
def test_fuzz_no_changed_record_raises_anything_but_our_own_error(data: st.DataObject) -> None:
    """Any value in any place: what is read can be used."""
    shape = SHAPE
    for _ in range(data.draw(st.integers(1, 3))):
        shape = changed(shape, data.draw(st.sampled_from(places(shape))), data.draw(JSON))
    record = None

    with suppress(CatalogError):
        record = PluginRecord.from_json(orjson.dumps(shape))

    if record is not None:
        use(record)
