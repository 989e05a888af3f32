"""What `code.outline` found out about the sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.demo.calls import Calls
from penstock.demo.corpus import SourceFile
from penstock.demo.outlines import condensed, functions, is_python
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure, ToolResult


def function(name: str, complexity: int, *items: dict[str, Any]) -> dict[str, Any]:
    """A function as the tool describes it."""
    return {"kind": "function", "name": name, "line": 7, "complexity": complexity, "items": list(items)}


def result_of(*items: dict[str, Any]) -> ToolResult:
    """What the tool says about a file."""
    data = {
        "docstring": "Long.",
        "classes": 1,
        "functions": 2,
        "complexity": 1,
        "max_complexity": 9,
        "items": list(items),
    }
    return ToolResult(call_id="j.0", tool="code.outline", success=True, data=data, index=0)


def test_functions_are_named_with_what_they_are_in() -> None:
    """Classes are part of names, and are not functions themselves."""
    shape = {
        "kind": "class",
        "name": "Shape",
        "line": 1,
        "items": [function("area", 3, function("inner", 1))],
    }
    file = SourceFile(name="a.py", size_bytes=10)
    outlines = Calls("code.outline", [file])

    outlines.add(condensed(result_of(shape, function("main", 9))), at_s=1.0)

    assert [(found.name, found.line, found.complexity) for found in functions(outlines)] == [
        ("Shape.area", 7, 3),
        ("Shape.area.inner", 7, 1),
        ("main", 7, 9),
    ]
    assert "docstring" not in outlines.results[0].data


def test_a_failure_is_kept_as_it_is() -> None:
    """There is nothing to leave out."""
    error = ToolFailure(code=ErrorCode.TRAP, message="stopped")
    failed = ToolResult(call_id="j.0", tool="code.outline", success=False, error=error, index=0)

    assert condensed(failed) is failed


def test_what_fails_rightly_is_no_failure() -> None:
    """No problem is made of files that are no Python."""
    error = ToolFailure(code=ErrorCode.VALIDATION_ERROR, message="line 1: invalid syntax")
    outlines = Calls("code.outline", [SourceFile(name="a.py", size_bytes=10)], excused={0})

    outlines.add(
        ToolResult(call_id="j.0", tool="code.outline", success=False, error=error, index=0), at_s=1.0
    )

    assert (outlines.failures(), outlines.problems()) == ([], [])


@pytest.mark.parametrize(
    ("source", "valid"),
    [
        (b"x = '\\d'", True),
        (b"# caf\xe9\n# coding: latin-1", True),
        (b"x = ", False),
        (b"x\0", False),
        (b"from __future__ import nothing", False),
    ],
)
def test_python_is_what_compiles(tmp_path: Path, source: bytes, valid: bool) -> None:
    """Warnings do not count."""
    path = tmp_path / "a.py"
    path.write_bytes(source)

    assert is_python(path) is valid
