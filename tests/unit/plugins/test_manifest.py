"""The manifest: what it means, and that nothing it can contain raises anything but our own error."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from contextlib import suppress

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock_plugins.errors import ManifestError
from penstock_plugins.limits import MIB, Limits
from penstock_plugins.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    dump,
    manifest_from,
    read_manifest,
)
from penstock_plugins.shipped import shipped_plugins
from penstock_plugins.tool import Traits
from penstock_plugins.versions import VersionRange
from tests.support.bundles import manifest_text

EVERYTHING = """
name = "weather"
version = "1.2.3-rc.1+build.7"
description = "Says what the weather is."
author = "Ada"
min_host = "0.1.0"
max_host = "2.0.0"

[wasm]
module = "weather.wasm"
kind = "component"
capabilities = ["log", "env", "http"]
pool = "network"

[wasm.limits]
fuel = 1000000
deadline_s = 5
memory_bytes = 1048576
memories = 1
tables = 2
instances = 3
table_elements = 4
output_bytes = 65536
log_lines = 10
log_bytes = 1000
params_bytes = 2000
http_requests = 3

[wasm.env]
allow = ["REGION", "TOKEN"]
set = { REGION = "eu" }

[wasm.net]
allow = ["https://api.example.com", "http://localhost:8080"]

[[tool]]
name = "forecast"
description = "The next days."
accesses_network = true
retryable = true
timeout_s = 2.5
batch_key = "{{input.city}}"
cache_ttl_s = 60
retry = { max_attempts = 5, base_ms = 200, cap_ms = 1000 }

[[tool]]
name = "now"
idempotent = true

[requires]
"text.stats" = "^1.0.0"
"text.slug" = { min = "1.0.0", max = "1.9.9" }

[config]
type = "object"
properties = { city = { type = "string" } }
"""
MINIMAL = manifest_text()
SHIPPED = [path.read_text() for path in sorted(shipped_plugins().glob("*/plugin.toml"))]


def read(text: str) -> Manifest:
    """The manifest of this text."""
    return read_manifest(text.encode())


def problems(text: str | bytes) -> tuple[str, ...]:
    """Why this text is no manifest."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(text.encode() if isinstance(text, str) else text, path="p/plugin.toml")
    assert str(caught.value).startswith("p/plugin.toml: ")
    return caught.value.problems


def test_P2_every_key_of_the_contract_is_read() -> None:
    """One manifest with everything in it."""
    manifest = read(EVERYTHING)

    assert (manifest.name, manifest.version, manifest.author) == ("weather", "1.2.3-rc.1+build.7", "Ada")
    assert (manifest.min_host, manifest.max_host) == ("0.1.0", "2.0.0")
    assert (manifest.wasm.module, manifest.wasm.kind, manifest.wasm.pool) == (
        "weather.wasm",
        "component",
        "network",
    )
    assert manifest.wasm.capabilities == ("log", "env", "http")
    assert (manifest.wasm.env.allow, manifest.wasm.env.set) == (("REGION", "TOKEN"), {"REGION": "eu"})
    assert manifest.wasm.net.allow == ("https://api.example.com", "http://localhost:8080")
    assert manifest.wasm.limits.http_requests == 3
    assert [tool.name for tool in manifest.tools] == ["forecast", "now"]
    assert manifest.config["properties"] == {"city": {"type": "string"}}


def test_I1_deadline_s_is_another_spelling_of_timeout_s() -> None:
    """And the other limits are named as in `Limits`."""
    assert read(EVERYTHING).limits() == Limits(
        timeout_s=5.0,
        fuel=1_000_000,
        memory_bytes=MIB,
        memories=1,
        tables=2,
        instances=3,
        table_elements=4,
        output_bytes=65536,
        log_lines=10,
        log_bytes=1000,
        params_bytes=2000,
    )
    assert problems(manifest_text(more="[wasm.limits]\ntimeout_s = 1\ndeadline_s = 1"))


def test_the_manifest_and_the_limits_have_the_same_fields() -> None:
    """No limit is forgotten in `[wasm.limits]`."""
    limits = {field.name for field in dataclasses.fields(Limits)}

    assert set(type(read(MINIMAL).wasm.limits).model_fields) - limits == {"deadline_s", "http_requests"}


def test_P2_without_a_wasm_table_it_is_a_component_that_asks_for_log() -> None:
    """The artifact is `plugin.wasm`; with a table that names none there are no capabilities."""
    wasm = read(MINIMAL).wasm

    assert (wasm.module, wasm.kind, wasm.capabilities) == ("plugin.wasm", "component", ("log",))
    assert read(manifest_text(more="[wasm]")).wasm.capabilities == ()


def test_E4_traits_come_from_the_table_and_idempotence_from_the_proof_where_it_is_silent() -> None:
    """What is said holds; what is not said may be proved."""
    forecast, now = read(EVERYTHING).tools

    assert forecast.traits() == Traits(accesses_network=True, retryable=True)
    assert forecast.traits(proved_idempotent=True).idempotent
    assert now.traits().idempotent
    denied = read(manifest_text(more='[[tool]]\nname = "x"\nidempotent = false')).tools[0]
    assert not denied.traits(proved_idempotent=True).idempotent


def test_a_tools_table_is_found_by_name() -> None:
    """And there is none for another."""
    manifest = read(EVERYTHING)

    assert manifest.tool_table("now") is manifest.tools[1]
    assert manifest.tool_table("yesterday") is None


def test_P2_required_tools_have_ranges() -> None:
    """As a text, or as a table with both ends."""
    requirements = read(EVERYTHING).requirements()

    assert requirements == {
        "text.stats": VersionRange.parse("^1.0.0"),
        "text.slug": VersionRange.between("1.0.0", "1.9.9"),
    }


def test_P3_what_is_missing_is_required() -> None:
    """In the contract's words, also when it is there and empty."""
    assert problems("") == ("name is required", "version is required")
    assert problems('name = ""\nversion = ""') == ("name is required", "version is required")


def test_P3_all_problems_are_told_at_once() -> None:
    """Each with its key."""
    found = problems(
        """
        name = "Weather!"
        version = "one"
        colour = "red"
        [wasm]
        module = "../plugin.wasm"
        kind = "docker"
        [wasm.limits]
        fuel = "much"
        [[tool]]
        name = "1st"
        """
    )

    for key in ("name", "version", "colour", "wasm.module", "wasm.kind", "wasm.limits.fuel", "tool.0.name"):
        assert any(problem.startswith(f"Invalid manifest: {key}: ") for problem in found), key
    assert len(found) == 7


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('[wasm]\nmodule = "/etc/passwd"', "plain file name"),
        ('[wasm]\nmodule = ".."', "plain file name"),
        ('[wasm]\nmodule = "a/b.wasm"', "plain file name"),
        ('[wasm]\nmodule = "plugin.toml"', "something else"),
        ('[wasm]\nmodule = "record.json"', "something else"),
        ('[wasm]\npool = "A b"', "lower-case"),
        ('[wasm]\ncapabilities = "log"', "list of texts"),
        ('[wasm]\ncapabilities = ["LOG"]', "capability"),
        ("[wasm.limits]\ntimeout_s = 0", "greater than 0"),
        ("[wasm.limits]\ntimeout_s = nan", "timeout_s"),
        ("[wasm.limits]\ntimeout_s = inf", "timeout_s"),
        ("[wasm.limits]\nmemory_bytes = 1.5", "memory_bytes"),
        ("[wasm.limits]\nmemory_bytes = true", "memory_bytes"),
        ("[wasm.limits]\nmemory_bytes = 99999999999999", "memory_bytes"),
        ('[wasm.env]\nallow = ["A=B"]', "environment variable"),
        ('[wasm.env]\nset = { "A B" = "x" }', "environment variable"),
        ("[wasm.env]\nset = { A = 1 }", "wasm.env.set.A"),
        ('[wasm.net]\nallow = ["ftp://example.com"]', "origin"),
        ('[wasm.net]\nallow = ["https://user@example.com"]', "origin"),
        ('[wasm.net]\nallow = ["https://example.com/path"]', "origin"),
        ('[[tool]]\nname = "a"\n[[tool]]\nname = "a"', "declared twice: a"),
        ('[[tool]]\nname = "a.b"', "tool.0.name"),
        ("[[tool]]\nidempotent = true", "tool.0.name is required"),
        ('[tool]\nname = "a"', r"\[\[tool\]\]"),
        ('[[tool]]\nname = "a"\nidempotent = "yes"', "tool.0.idempotent"),
        ('[requires]\n"text.stats" = "1.x"', "no semantic version"),
        ('[requires]\n"stats" = "1.0.0"', "full name"),
        ('[config]\ntype = "string"', "config"),
        ('[config]\ntype = "object"\nproperties = 3', "config"),
    ],
)
def test_P3_what_cannot_be_used_is_refused_in_words(more: str, says: str) -> None:
    """One problem each, and the message names it."""
    (problem,) = problems(manifest_text(more=more))

    assert re.search(says, problem)


def test_P3_what_is_no_toml_says_where() -> None:
    """Line and column, as the reader of TOML gives them."""
    (problem,) = problems("name = \nversion = 1")

    assert problem.startswith("Invalid manifest: ")
    assert "line 1" in problem


def test_a_manifest_that_is_too_large_is_refused_unread() -> None:
    """64 KiB will do for anybody."""
    (problem,) = problems(b"#" * (MAX_MANIFEST_BYTES + 1))

    assert "65537 bytes" in problem


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe",
        b"a = " + b"[" * 5000,
        b"a = " + b"{a=" * 5000,
        b".".join([b"a"] * 10_000) + b" = 1",
        b"a = " + b"9" * 10_000,
        b"name = 1979-05-27\nversion = 07:32:00",
        b'name = "a\\u0000"\nversion = "1.0.0"',
    ],
    ids=["no UTF-8", "brackets", "tables", "dots", "digits", "dates", "NUL"],
)
def test_hostile_toml_is_refused_quickly(raw: bytes) -> None:
    """Neither deep nesting, nor long keys and numbers, nor other types than text get through."""
    assert problems(raw)


def test_what_a_terminal_would_obey_does_not_get_into_a_message() -> None:
    """A key with an escape sequence is shown escaped."""
    (problem,) = problems(manifest_text(more='"\\u001b[31mred" = 1'))

    assert "\x1b" not in problem
    assert "red" in problem


@pytest.mark.parametrize("text", [EVERYTHING, MINIMAL, *SHIPPED])
def test_a_manifest_comes_back_from_json_as_it_went_in(text: str) -> None:
    """The record of a plugin carries it so."""
    manifest = read(text)

    assert manifest_from(orjson.loads(orjson.dumps(dump(manifest)))) == manifest


@given(raw=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
@example(raw=b"[[tool]]\n[tool]")
def test_fuzz_no_bytes_raise_anything_but_our_own_error(raw: bytes) -> None:
    """Whatever is in the file."""
    with pytest.raises(ManifestError):
        read_manifest(raw)


TOML_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
TOML_KEY = st.sampled_from(
    [
        *("name", "version", "wasm", "tool", "limits", "env", "net", "allow", "set", "config", "requires"),
        *("retry", "module", "kind", "capabilities", "timeout_s", "fuel", "idempotent", "min_host"),
        *("type", "properties"),
    ]
)
TOML_VALUE = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats()
    | TOML_TEXT
    | st.dates()
    | st.datetimes()
    | st.sampled_from(["text", "1.0.0", "plugin.wasm", "component", "^1.0.0", "object"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TOML_KEY | TOML_TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(shape=st.dictionaries(TOML_KEY, TOML_VALUE, max_size=8))
def test_fuzz_no_document_raises_anything_but_our_own_error(shape: dict[str, object]) -> None:
    """Any TOML document: one that passes survives its way through a record."""
    manifest = None
    with suppress(ManifestError):
        manifest = manifest_from({"name": "text", "version": "1.0.0", **shape})

    if manifest is not None:
        assert manifest_from(orjson.loads(orjson.dumps(dump(manifest)))) == manifest


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real manifest with a few bytes cut out, doubled, or overwritten."""
    raw = draw(st.sampled_from([EVERYTHING, MINIMAL, *SHIPPED])).encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = draw(st.integers(start, min(len(raw), start + 40)))
        put = draw(
            st.binary(max_size=8)
            | st.just(raw[start:end] * 2)
            | st.sampled_from(
                [b"", b"=", b"[", b"]]", b'"', b"\n", b"-1", b"nan", b"1e400", b"[wasm]", b"{}"]
            )
        )
        raw = raw[:start] + put + raw[end:]
    return raw


@given(raw=mutated())
def test_fuzz_no_mutated_manifest_raises_anything_but_our_own_error(raw: bytes) -> None:
    """A manifest with errors in it is refused or means something; it never surprises."""
    found: tuple[str, ...] = ()
    manifest = None
    try:
        manifest = read_manifest(raw)
    except ManifestError as error:
        found = error.problems

    assert all(problem and "\n" not in problem for problem in found)
    assert (manifest is None) is bool(found)
    if manifest is not None:
        assert manifest.name == tomllib.loads(raw.decode())["name"]
        assert manifest.limits().timeout_s > 0
        assert manifest.requirements().keys() == manifest.requires.keys()
        assert manifest_from(orjson.loads(orjson.dumps(dump(manifest)))) == manifest


COMPOSITE = """
name = "docs"
version = "1.0.0"

[composite]
files = ["summary.yaml", "index.json"]
"""


def test_a_plugin_of_composite_tools_names_their_files() -> None:
    """It is of kind `composite`, and comes back from its record as it went in."""
    manifest = read_manifest(COMPOSITE.encode())

    assert (manifest.kind, manifest.artifacts) == ("composite", ("summary.yaml", "index.json"))
    assert manifest_from(orjson.loads(orjson.dumps(dump(manifest)))) == manifest
    assert read_manifest(manifest_text().encode()).kind == "component"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[wasm]\nmodule = "a.wasm"', "neither \\[wasm\\] nor \\[\\[tool\\]\\]"),
        ('[[tool]]\nname = "a"', "neither \\[wasm\\] nor \\[\\[tool\\]\\]"),
    ],
)
def test_a_plugin_is_of_one_kind(more: str, said: str) -> None:
    """What a composite tool is, its file says."""
    with pytest.raises(ManifestError, match=said):
        read_manifest(f"{COMPOSITE}\n{more}\n".encode())


@pytest.mark.parametrize(
    "files", ["[]", '["../a.yaml"]', '["a.py"]', '["record.json"]', '["a.yaml", "a.yaml"]', '"a.yaml"']
)
def test_composite_files_are_plain_and_beside_the_manifest(files: str) -> None:
    """Of the three kinds, once each, and none that is something else."""
    with pytest.raises(ManifestError, match="composite"):
        read_manifest(f'name = "docs"\nversion = "1.0.0"\n[composite]\nfiles = {files}\n'.encode())
