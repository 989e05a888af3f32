"""What `code.outline` found out about the sources: their functions, and how complex each is. Pure."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.demo.calls import Calls
from penstock.demo.corpus import SourceFile
from penstock_plugins.result import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function or method."""

    file: SourceFile
    #: With the classes and functions that it is in: `Decoder.decode`.
    name: str
    line: int
    #: McCabe's number.
    complexity: int


def condensed(result: ToolResult) -> ToolResult:
    """The result without docstrings and params, of which thousands of files have many megabytes."""
    if not isinstance(result.data, dict):
        return result
    counts = {name: result.data[name] for name in ("classes", "functions", "complexity", "max_complexity")}
    found = [list(entry) for entry in _functions(result.data["items"], "")]
    return replace(result, data={**counts, "found": found})


def functions(outlines: Calls) -> list[Function]:
    """Every function of every file, of condensed results."""
    return [
        Function(file=file, name=name, line=line, complexity=complexity)
        for file, outline in outlines.answers()
        for name, line, complexity in outline["found"]
    ]


def is_python(path: Path) -> bool:
    """Whether this Python can compile a file. The standard library has some that none can, to test that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _functions(items: list[dict[str, Any]], inside: str) -> Iterator[tuple[str, int, int]]:
    for item in items:
        name = inside + item["name"]
        if item["kind"] != "class":
            yield name, item["line"], item["complexity"]
        yield from _functions(item["items"], f"{name}.")
