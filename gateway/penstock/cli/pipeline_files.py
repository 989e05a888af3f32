"""Pipelines' files, as commands meet them: read, and refused with all their problems."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from penstock.cli.console import BAD, NAME, err, print_json, safe

if TYPE_CHECKING:
    from penstock_plugins.errors import InvalidPipelineError
    from penstock_plugins.pipelines.model import Pipeline, Problem

LocalFolders = Annotated[
    list[Path] | None,
    typer.Option("--local", metavar="DIR", help="Use this plugin folder's tools, nothing else. Repeatable."),
]


def read_file(file: Path) -> Pipeline:
    """The pipeline in a file.

    Raises:
        InvalidPipelineError: it cannot be used; has every problem.
        typer.BadParameter: the file cannot be read.
    """
    from penstock_plugins.pipelines.files import read_pipeline

    try:
        return read_pipeline(file)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from error


def problems_of(error: InvalidPipelineError) -> list[Problem]:
    """Each with its place, where that is known."""
    from penstock_plugins.pipelines.model import Problem

    return list(error.found) or [Problem(path="", step="", message=text) for text in error.problems]


def refuse_problems(file: Path, error: InvalidPipelineError, *, as_json: bool) -> int:
    """Say all that is wrong with a pipeline that was to be run."""
    if as_json:
        problems = [asdict(one) for one in problems_of(error)]
        print_json({"ok": False, "problems": problems})
        return error.exit_code
    err().print(Text.assemble(("Error: ", BAD), (str(file), NAME), " cannot run:"))
    for text in error.problems:
        err().print(Text.assemble(("  ✘ ", BAD), safe(text)))
    return error.exit_code
