"""The plugins that we ship: their artifacts are what their sources give, and their tools are right."""

from __future__ import annotations

import json
import math
import re
import shutil
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock_plugins.bundle import read_bundle
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.limits import MIB
from penstock_plugins.manifest import Manifest
from penstock_plugins.schema import ParamsSchema, check_schema
from penstock_plugins.shipped import shipped_plugins
from penstock_workers.executor import Executor
from penstock_workers.inspection import inspect_plugin
from penstock_workers.toolchain.c import build_c_plugin
from tests.support.guests import CompiledPlugin

EXAMPLES = shipped_plugins()
SHIPPED = ["hostile", "text"]
BLANKS = " \t\n\x0b\x0c\r"


@pytest.fixture(scope="module")
def text_plugin() -> CompiledPlugin:
    """The artifact of `text` that is committed, within its own memory limit."""
    bundle = read_bundle(EXAMPLES / "text")
    limits = bundle.manifest.limits()
    return CompiledPlugin(bundle.files["plugin.wasm"], memory_bytes=limits.memory_bytes)


# Every shipped plugin.


@pytest.mark.parametrize("name", SHIPPED)
def test_a_rebuild_gives_the_artifact_that_is_committed(name: str, tmp_path: Path) -> None:
    """Byte for byte: whoever doubts an artifact can make it again."""
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("*.wasm"))

    rebuilt = build_c_plugin(folder)

    assert rebuilt.read_bytes() == (EXAMPLES / name / "plugin.wasm").read_bytes()


def test_a_rebuilt_plugin_declares_and_answers_the_same(text_plugin: CompiledPlugin, tmp_path: Path) -> None:
    """What counts, should a compiler ever give other bytes."""
    folder = tmp_path / "text"
    shutil.copytree(EXAMPLES / "text", folder, ignore=shutil.ignore_patterns("*.wasm"))

    rebuilt = CompiledPlugin(build_c_plugin(folder).read_bytes())

    assert rebuilt.init() == text_plugin.init()
    assert rebuilt.tools() == text_plugin.tools()
    for tool, params in (
        ("stats", {"text": "# one\ntwo\n"}),
        ("slug", {"text": "Ça va?"}),
        ("distance", {"a": "kitten", "b": "sitting"}),
    ):
        assert rebuilt.call(tool, params) == text_plugin.call(tool, params)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_plugin_passes_its_inspection(name: str) -> None:
    """It needs nothing of the host, and its manifest and its guest agree."""
    found = inspect_plugin(read_bundle(EXAMPLES / name))

    assert (found.problems, found.warnings, found.imports) == ([], [], {})
    assert all(tool.traits.idempotent for tool in found.tools)
    assert len(found.bundle.files["plugin.wasm"]) < 32 * 1024


@pytest.mark.parametrize("name", SHIPPED)
def test_every_tool_and_param_says_what_it_is(name: str) -> None:
    """For people, and for the agents that choose tools by their declarations."""
    bundle = read_bundle(EXAMPLES / name)

    declared = CompiledPlugin(bundle.files["plugin.wasm"]).tools()

    assert [tool.name for tool in declared] == [table.name for table in bundle.manifest.tools]
    for tool in declared:
        schema = json.loads(tool.parameters_json)
        check_schema(schema)
        assert schema["additionalProperties"] is False
        assert len(tool.description) > 20
        assert tool.label
        assert all(param["description"] for param in schema["properties"].values())


def test_the_text_plugin_takes_whole_files() -> None:
    """Its manifest asks for room for texts of more than a megabyte."""
    manifest: Manifest = read_bundle(EXAMPLES / "text").manifest

    assert manifest.limits().params_bytes >= 2 * MIB
    assert manifest.wasm.capabilities == ()


# text.stats


def stats_in_python(text: str, prefix: str = "#") -> dict[str, Any]:
    """What `text.stats` promises, written down a second time."""
    raw = text.encode()
    lines = re.split(r"\r\n|\r|\n", text)
    if lines[-1] == "":
        lines.pop()
    filled = [line.lstrip(BLANKS) for line in lines if line.strip(BLANKS)]
    comments = sum(line.startswith(prefix) for line in filled)
    shares = [count / len(raw) for count in Counter(raw).values()]
    return {
        "bytes": len(raw),
        "lines": len(lines),
        "words": len(raw.split()),
        "longest_line": max(map(len, lines), default=0),
        "comment_ratio": comments / len(filled) if filled else 0.0,
        "entropy": -sum(share * math.log2(share) for share in shares),
    }


PROSE = st.text(alphabet=st.sampled_from("ab#/ é€😀\t\n\r\x0b\x0c\x85\u2028\x1c\0"), max_size=200)


@given(text=PROSE | st.text(max_size=300), prefix=st.sampled_from(["#", "//", "é", "#a", "a b"]))
@example(text="", prefix="#")
@example(text="\n", prefix="#")
@example(text="\r\n\r\n", prefix="#")
@example(text="\r\r\n\n", prefix="#")
@example(text="last line without end", prefix="#")
@example(text="".join(map(chr, range(256))), prefix="#")
def test_stats_are_what_python_counts(text_plugin: CompiledPlugin, text: str, prefix: str) -> None:
    """Over any Unicode text, with every kind of line end and blank."""
    assert text_plugin.value("stats", text=text, comment_prefix=prefix) == pytest.approx(
        stats_in_python(text, prefix), abs=1e-6
    )


@pytest.mark.parametrize("path", [Path(json.__file__), Path(re.__file__), Path(__file__)])
def test_stats_of_real_files_are_what_python_counts(text_plugin: CompiledPlugin, path: Path) -> None:
    """Without a prefix, comments begin with #."""
    text = path.read_text()

    assert text_plugin.value("stats", text=text) == pytest.approx(stats_in_python(text), abs=1e-6)


@pytest.mark.parametrize("line", ["plain text of one megabyte\n", '\u0001\\"', "é€😀 "])
def test_a_text_of_a_megabyte_is_measured(text_plugin: CompiledPlugin, line: str) -> None:
    """Also when JSON spells it with six bytes for each character."""
    text = line * (MIB // len(line.encode()))

    result = text_plugin.value("stats", text=text)

    assert result == pytest.approx(stats_in_python(text), abs=1e-6)


# text.slug


#: Latin letters that Unicode does not decompose into a plain one and its accents.
UNDECOMPOSED = {
    **dict.fromkeys("Ææ", "ae"),
    **dict.fromkeys("Øø", "o"),
    **dict.fromkeys("ÐðĐđ", "d"),
    **dict.fromkeys("Þþ", "th"),
    **dict.fromkeys("Ħħ", "h"),
    **dict.fromkeys("ŁłĿŀ", "l"),
    **dict.fromkeys("Ŋŋŉ", "n"),
    **dict.fromkeys("Œœ", "oe"),
    **dict.fromkeys("Ŧŧ", "t"),
    **dict.fromkeys("ßẞ", "ss"),
    **dict.fromkeys("ſẜẝ", "s"),
    "\u0131": "i",
    "ĸ": "k",
    "ẚ": "a",
}
LATIN = [*range(0x80), *range(0xC0, 0x250), *range(0x1E00, 0x1F00)]


def folded(character: str) -> str:
    """The plain letters that a slug has for a character: "-" for none, "" for an accent of its own."""
    if "\u0300" <= character <= "\u036f":
        return ""
    if ord(character) not in LATIN:
        return "-"
    decomposed = unicodedata.normalize("NFKD", character)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).lower()
    plain = UNDECOMPOSED.get(character, plain)
    return plain if plain.isascii() and plain.isalnum() else "-"


def slug_in_python(text: str, max_length: int | None = None) -> str:
    """What `text.slug` promises, written down a second time."""
    words = re.findall(r"[a-z0-9]+", "".join(map(folded, text)))
    return "-".join(words)[:max_length].rstrip("-")


def test_every_character_is_folded_as_unicode_decomposes_it(text_plugin: CompiledPlugin) -> None:
    """One by one, up to the end of what is tabled and beyond."""
    characters = [chr(code_point) for code_point in [*range(0x3000), 0xFB01, 0x1F600, 0x10FFFF]]

    slug = text_plugin.value("slug", text=" ".join(f"x{c}y" for c in characters))["slug"]

    assert slug == "-".join(f"x{folded(c)}y" for c in characters)


@given(
    text=st.text(alphabet=st.characters(max_codepoint=0x24F)) | st.text(),
    max_length=st.none() | st.integers(1, 20),
)
@example(text="Straße, Ærø & Łódź: 2.5\u00d7", max_length=None)
@example(text="e\u0301te\u0301", max_length=None)
@example(text="ß", max_length=1)
@example(text="ab cd", max_length=3)
def test_slugs_are_what_python_makes(text_plugin: CompiledPlugin, text: str, max_length: int | None) -> None:
    """Cut to the longest that is wanted, and never ending with a dash."""
    params = {"text": text} if max_length is None else {"text": text, "max_length": max_length}

    assert text_plugin.value("slug", **params) == {"slug": slug_in_python(text, max_length)}


# text.distance


def distance_in_python(a: str, b: str) -> int:
    """Levenshtein's distance, row by row."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


SIMILAR = st.text(alphabet="ab", max_size=150) | st.text(alphabet="aéè€😀😁", max_size=80)


@given(a=SIMILAR | st.text(), b=SIMILAR | st.text())
@example(a="", b="")
@example(a="kitten", b="sitting")
@example(a="é", b="è")
@example(a="😀x", b="😁x")
@example(a="x" * 64, b="y" * 64)
@example(a="x" * 65, b="y" * 129)
@example(a="ab" * 64, b="ba" * 64)
def test_distances_are_levenshteins_over_characters(text_plugin: CompiledPlugin, a: str, b: str) -> None:
    """From either side, whatever the lengths: rows are worked on 64 at a time."""
    distance = distance_in_python(a, b)
    longest = max(len(a), len(b))

    there = text_plugin.value("distance", a=a, b=b)
    back = text_plugin.value("distance", a=b, b=a)

    assert there == back
    assert there["distance"] == distance
    assert there["similarity"] == pytest.approx(1 - distance / longest if longest else 1, abs=1e-6)


def test_long_texts_are_compared_up_to_a_limit(text_plugin: CompiledPlugin) -> None:
    """The limit is on the work; what is beyond it is a failure that says so."""
    at_the_limit = text_plugin.value("distance", a="ab" * 5_000, b="ba" * 5_000)
    uneven = text_plugin.value("distance", a="x" * 100, b="y" * 1_000_000)
    beyond = text_plugin.call("distance", {"a": "é" * 10_001, "b": "è" * 10_000})

    assert at_the_limit["distance"] == 2
    assert uneven == {"distance": 1_000_000, "similarity": 0.0}
    assert beyond == (
        {
            "code": "VALIDATION_ERROR",
            "message": "a has 10001 characters and b has 10000: the product may be at most 100000000"
            " (10000 each).",
        },
        True,
    )


def test_params_that_the_schemas_refuse(text_plugin: CompiledPlugin) -> None:
    """Missing texts, other types and params that do not exist."""
    schemas = {tool.name: ParamsSchema(json.loads(tool.parameters_json)) for tool in text_plugin.tools()}

    refused = [
        ("stats", {}),
        ("stats", {"text": 1}),
        ("stats", {"text": "", "comment_prefix": ""}),
        ("stats", {"text": "", "comment_prefix": " #"}),
        ("stats", {"text": "", "comment_prefix": "#\n"}),
        ("slug", {"text": "", "max_length": 0}),
        ("slug", {"text": "", "length": 1}),
        ("distance", {"a": ""}),
    ]

    for tool, params in refused:
        assert schemas[tool].violations(params), (tool, params)


# Through the executor, as a worker runs them.


def test_the_text_tools_run_as_a_worker_runs_them(tmp_path: Path) -> None:
    """Checked params in, values and typed failures out."""
    with Executor.local(EXAMPLES / "text", cache_dir=tmp_path) as text:
        slug = text.run("text.slug", {"text": "Zażółć gęślą jaźń"})
        unchecked = text.run("slug", {"text": "x", "max_length": 0})
        beyond = text.run("distance", {"a": "x" * 20_000, "b": "y" * 20_000})

    assert slug.data == {"slug": "zazolc-gesla-jazn"}
    assert unchecked.error is not None
    assert unchecked.error.code is ErrorCode.VALIDATION_ERROR
    assert beyond.error is not None
    assert beyond.error.code is ErrorCode.VALIDATION_ERROR
    assert "at most 100000000" in beyond.error.message


@pytest.mark.parametrize(
    ("tool", "code"),
    [
        ("loop", ErrorCode.TIMEOUT),
        ("hog", ErrorCode.OUT_OF_MEMORY),
        ("recurse", ErrorCode.TRAP),
        ("trap", ErrorCode.TRAP),
    ],
)
def test_every_hostile_tool_is_stopped_and_the_next_call_is_served(
    tool: str, code: ErrorCode, tmp_path: Path
) -> None:
    """Twice, in one process: what was stopped has left nothing behind."""
    with Executor.local(EXAMPLES / "hostile", cache_dir=tmp_path) as hostile:
        first = hostile.run(tool, {})
        second = hostile.run(tool, {})

    with Executor.local(EXAMPLES / "text", cache_dir=tmp_path) as text:
        good = text.run("slug", {"text": "Still here"})

    assert [result.error and result.error.code for result in (first, second)] == [code, code]
    assert good.data == {"slug": "still-here"}
