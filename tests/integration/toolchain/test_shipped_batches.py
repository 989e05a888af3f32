"""The shipped plugins give the same by their batch entry point and call by call (B-5)."""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.shipped import shipped_plugins
from penstock_workers import Executor
from penstock_workers.local import LocalExecutor
from penstock_workers.toolchain.example_calls import read_examples

EXAMPLES = shipped_plugins()
PLUGINS = ["text", "markdown", "code"]

Opened = Callable[[str], LocalExecutor]
Params = list[dict[str, Any]]


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    """Opens a shipped plugin once."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(Executor.local(EXAMPLES / name)))


def agree(executor: LocalExecutor, tool: str, params: Params) -> list[ErrorCode]:
    """Both ways give the same; returns the codes of the failures."""
    assert executor.prepare(tool).runs_together
    together = executor.run_many(tool, params)
    alone = [executor.run(tool, p) for p in params]
    assert [(r.data, r.error) for r in together] == [(r.data, r.error) for r in alone]
    return [r.error.code for r in together if r.error]


@pytest.mark.parametrize("name", PLUGINS)
def test_B5_every_example_is_answered_the_same_in_a_batch(name: str, opened: Opened) -> None:
    """In order, backwards, and each of them twice."""
    executor = opened(name)
    examples = read_examples(EXAMPLES / name)

    for tool in {example.tool for example in examples}:
        params = [example.params for example in examples if example.tool == tool]
        agree(executor, tool, [*params, *reversed(params), *params])


REAL = [Path(str(module.__file__)) for module in (argparse, ast, json, re)]
DOCUMENTS = sorted(EXAMPLES.parent.glob("*.md")) + sorted(EXAMPLES.glob("*.md"))


def test_B5_real_documents_and_modules_are_answered_the_same(opened: Opened) -> None:
    """Large ones among small ones."""
    documents = [path.read_text() for path in DOCUMENTS]
    modules = [path.read_text() for path in REAL]
    paragraphs = [p for text in documents for p in text.split("\n\n")][:60]

    for tool in ("to_html", "headings", "links"):
        assert agree(opened("markdown"), tool, [{"text": text} for text in [*documents, *paragraphs]]) == []
    for tool in ("stats", "slug"):
        assert agree(opened("text"), tool, [{"text": text} for text in [*modules, *paragraphs]]) == []
    for tool in ("outline", "imports"):
        assert agree(opened("code"), tool, [{"source": text} for text in modules]) == []


TEXTS = st.text(max_size=80) | st.text(alphabet="ab #*_[]()!`\n-<>é🙂", max_size=120)
SOURCES = (
    st.sampled_from(
        ["import os", "def f(x: int = 1):\n    '''Doc.'''\n    return [y for y in x if y]", "class C: pass"]
    )
    | st.text(alphabet="abdef :=()[]\n\t'\"#,.", max_size=60)
    | st.sampled_from(["(" * 5000, "-" * 50_000 + "1", "lambda:" * 5000 + "1", "x = '\0'", "def"])
)


@given(texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=80))
def test_B5_any_texts_are_answered_the_same(texts: list[tuple[str, str]], opened: Opened) -> None:
    """In C, where each call finds the globals as they were."""
    executor = opened("text")

    agree(executor, "stats", [{"text": a, "comment_prefix": b} for a, b in texts])
    agree(executor, "slug", [{"text": a + b, "max_length": len(b)} for a, b in texts])
    agree(executor, "distance", [{"a": a, "b": b} for a, b in texts])


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(TEXTS, min_size=2, max_size=40))
def test_B5_any_markdown_is_answered_the_same(texts: list[str], opened: Opened) -> None:
    """In JavaScript, where the renderers are shared by all calls of an instance."""
    executor = opened("markdown")

    agree(executor, "to_html", [{"text": text, "linkify": len(text) % 2 == 0} for text in texts])
    agree(executor, "headings", [{"text": text} for text in texts])


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(sources=st.lists(SOURCES, min_size=2, max_size=30))
def test_B5_any_python_is_answered_the_same(sources: list[str], opened: Opened) -> None:
    """In Python; what is too deep for the parser's stack ends its own call only."""
    agree(opened("code"), "outline", [{"source": source} for source in sources])


def test_B5_python_that_ends_its_instance_leaves_the_others_alone(opened: Opened) -> None:
    """Found by halving: the others succeed."""
    sources = [{"source": f"import a{k}"} for k in range(40)]
    sources[23] = {"source": "-" * 100_000 + "1"}

    codes = agree(opened("code"), "imports", sources)

    assert len(codes) == 1
