"""Committed artifacts do what the examples beside them say, whatever else they are given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from penstock_plugins.bundle import read_bundle
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.packed import PACKED_SUFFIX
from penstock_plugins.shipped import shipped_plugins
from penstock_workers import Executor
from penstock_workers.local import LocalExecutor
from penstock_workers.toolchain.build import build_plugin
from penstock_workers.toolchain.example_calls import read_examples, run_examples
from tests.support.guests import CompiledPlugin

EXAMPLES = shipped_plugins()
PLUGINS = ["text", "markdown", "code"]

Opened = Callable[[str], LocalExecutor]


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    """Opens a shipped plugin once: the native code of Python takes its time."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(Executor.local(EXAMPLES / name)))


@pytest.mark.parametrize("name", PLUGINS)
def test_a_shipped_plugin_does_what_its_examples_say(name: str, opened: Opened) -> None:
    """Each tool has one."""
    examples = read_examples(EXAMPLES / name)

    comparisons = list(run_examples(examples, opened(name)))

    assert [comparison.difference for comparison in comparisons] == [""] * len(examples)
    assert {example.tool for example in examples} == {tool.name for tool in opened(name).tools}


@pytest.mark.parametrize("name", PLUGINS)
def test_a_shipped_plugin_needs_nothing_and_says_what_it_does(name: str, opened: Opened) -> None:
    """It imports nothing, so that the same params give the same result; every param is described."""
    manifest = read_bundle(EXAMPLES / name).manifest

    tools = opened(name).tools

    assert manifest.wasm.capabilities == ()
    assert {tool.name for tool in tools} == {table.name for table in manifest.tools}
    for tool in tools:
        assert tool.traits.idempotent
        assert len(tool.description) > 20
        assert tool.label != tool.name
        assert tool.parameters["additionalProperties"] is False
        assert all(param["description"] for param in tool.parameters["properties"].values())


def test_what_is_committed_is_small() -> None:
    """Every clone carries it, and so does the wheel."""
    sizes = {name: (EXAMPLES / name / f"plugin.wasm{PACKED_SUFFIX}").stat().st_size for name in PLUGINS[1:]}

    assert sizes["markdown"] < 700_000
    assert sizes["code"] < 5_000_000


def test_a_rebuilt_markdown_declares_and_answers_the_same(tmp_path: Path) -> None:
    """Its bytes are others each time: the build draws a seed. What it does is not."""
    folder = tmp_path / "markdown"
    shutil.copytree(
        EXAMPLES / "markdown", folder, ignore=shutil.ignore_patterns("plugin.wasm*", "node_modules")
    )
    committed = CompiledPlugin(read_bundle(EXAMPLES / "markdown").files["plugin.wasm"])

    rebuilt = CompiledPlugin(build_plugin(folder).read_bytes())

    assert rebuilt.init() == committed.init()
    assert rebuilt.tools() == committed.tools()
    for example in read_examples(folder)[:-1]:
        assert rebuilt.call(example.tool, example.params) == committed.call(example.tool, example.params)


def test_no_download_address_is_locked() -> None:
    """Whoever builds it takes the packages from the registry of their own."""
    lock = json.loads((EXAMPLES / "markdown" / "package-lock.json").read_text())

    packages = {name: package for name, package in lock["packages"].items() if name}
    assert "node_modules/markdown-it" in packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


@pytest.mark.parametrize(
    "source",
    [
        "(" * 5000,
        "-" * 100_000 + "1",
        "x" + ".a" * 20_000,
        "1" + "+1" * 20_000,
        "lambda:" * 5000 + "1",
        "@" + "(" * 90 + "x" + "+1" * 3000 + ")" * 90 + "\ndef f(): pass",
        "x = '\0'",
    ],
    ids=["brackets", "signs", "attributes", "sum", "lambdas", "decorator", "nul"],
)
def test_python_that_is_too_deep_ends_one_call_and_not_the_process(source: str, opened: Opened) -> None:
    """The parser refuses it, or the stack ends; either is that call's failure only."""
    code = opened("code")

    failed = code.run("outline", {"source": source})

    assert failed.error is not None
    assert failed.error.code in {ErrorCode.VALIDATION_ERROR, ErrorCode.TRAP, ErrorCode.EXECUTION_ERROR}
    assert code.run("imports", {"source": "import os"}).success


def test_an_outline_finds_everything_in_a_large_module(opened: Opened) -> None:
    """One of the standard library, against this Python's own view of it."""
    import argparse
    import ast

    source = Path(argparse.__file__).read_text()
    nodes = list(ast.walk(ast.parse(source)))

    data: Any = opened("code").run("outline", {"source": source}).data

    assert data["classes"] == sum(isinstance(node, ast.ClassDef) for node in nodes)
    assert data["functions"] == sum(isinstance(node, ast.FunctionDef) for node in nodes)
    assert data["max_complexity"] > 10


def test_what_could_run_in_a_page_stays_text(opened: Opened) -> None:
    """Raw HTML is escaped; addresses that are code are no links."""
    text = '<script>alert(1)</script>\n\n[a](javascript:alert(1)) ![b](data:text/html;x) <a href="x">c</a>'

    html = opened("markdown").run("to_html", {"text": text}).data["html"]

    assert "<script" not in html
    assert "<a" not in html
    assert "<img" not in html
