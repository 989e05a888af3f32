"""Reads Python sources with the standard library's `ast`. They are parsed and never run."""

from __future__ import annotations

from typing import Annotated, Any

from importing import imports_of
from outlining import outline_of
from parsing import parse
from penstock_plugin import tool

Source = Annotated[str, "Python source"]


@tool(label="Outline of a module")
def outline(
    source: Source, docstrings: Annotated[bool, "Whole docstrings, not only their first line"] = False
) -> Any:
    """Lists classes and functions of a module: lines, params, docstrings, cyclomatic complexity."""
    return outline_of(parse(source), whole_docstrings=docstrings)


@tool(label="Imports of a module")
def imports(source: Source) -> Any:
    """Lists what a Python module imports: module, names, line, and where it stands."""
    return {"imports": imports_of(parse(source))}
