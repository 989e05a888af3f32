"""`penstock pipeline`: check a pipeline's file, draw it, run it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import BAD, GOOD, NAME, QUIET, WARN, out, print_json, safe, say_note
from penstock.cli.exits import FAILED, OK
from penstock.cli.options import AsJson, flag
from penstock.cli.pipeline_files import LocalFolders, problems_of, read_file, refuse_problems
from penstock.cli.pipeline_run import run
from penstock.cli.result_files import check_writable
from penstock.cli.rows import STANDARD
from penstock.cli.session import settings_of
from penstock.cli.tools import traits_text
from penstock.cli.words import counted

if TYPE_CHECKING:
    from penstock_plugins.index import ToolIndex
    from penstock_plugins.pipelines.model import Pipeline, Problem

app = typer.Typer(name="pipeline", help="Check pipelines, draw them, run them.", no_args_is_help=True)

PipelineFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A pipeline: .yaml, .toml or .json.", show_default=False)
]


@app.command()
def check(
    context: typer.Context,
    file: PipelineFile,
    local: LocalFolders = None,
    with_tools: Annotated[
        bool, flag("--tools/--no-tools", help="Look at the tools that it calls; else only at the file.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Say everything that is wrong with a pipeline before it runs. Exit code 1 when something is.

    Its tools are those of the catalog, or of plugin folders with --local: params that cannot fit a tool's
    schema are found here, with their step. What is said without effect is a warning, and exit code 0.

    [bold]Examples[/bold]

      penstock pipeline check summary.yaml
      penstock pipeline check summary.yaml --local ./my-plugin
    """
    from penstock_plugins.errors import InvalidPipelineError

    try:
        pipeline = read_file(file)
    except InvalidPipelineError as error:
        return _say_wrong(file, problems_of(error), as_json)
    if not with_tools:
        return _say_checked(file, pipeline, None, as_json)
    if local:
        from penstock.cli.local_tools import LocalTools  # runs guests, to ask them for their tools

        with LocalTools(settings_of(context), local) as tools:
            return _say_checked(file, pipeline, tools.index, as_json)
    return _say_checked(file, pipeline, catalog_index(context), as_json)


@app.command()
def show(
    file: PipelineFile,
    svg: Annotated[Path | None, typer.Option(metavar="OUT", help="Write a drawing as SVG; -.")] = None,
    as_json: AsJson = False,
) -> int:
    """Draw a pipeline: a tree on the terminal, or an SVG file. Nothing is connected to.

    [bold]Examples[/bold]

      penstock pipeline show summary.yaml
      penstock pipeline show summary.yaml --svg summary.svg
    """
    from penstock_plugins.errors import InvalidPipelineError
    from penstock_plugins.pipelines.drawing import draw_svg, draw_text

    try:
        pipeline = read_file(file)
    except InvalidPipelineError as error:
        return refuse_problems(file, error, as_json=as_json)
    if svg == STANDARD:
        sys.stdout.write(draw_svg(pipeline))
    elif svg is not None:
        check_writable(svg)
        if svg.exists() and svg.samefile(file):
            raise typer.BadParameter(f"{svg} is the pipeline, and would be overwritten: name another file")
        svg.write_text(draw_svg(pipeline))
        say_note(f"→ {svg}")
    elif as_json:
        print_json(pipeline.to_dict())
    else:
        out().print(Text(draw_text(pipeline)))
    return OK


@app.command()
def schema() -> int:
    """Print the JSON Schema of pipelines' files, by which editors complete and underline them.

    [bold]Example[/bold]

      penstock pipeline schema > pipeline.schema.json

    In a file's first line then: # yaml-language-server: $schema=pipeline.schema.json
    """
    from penstock_plugins.pipelines.json_schema import SCHEMA_FILE

    sys.stdout.write(SCHEMA_FILE.read_text())
    return OK


app.command()(run)


def catalog_index(context: typer.Context) -> ToolIndex:
    """The tools of the catalog."""
    from penstock.cli.system import open_catalog
    from penstock_plugins.index import ToolIndex

    with open_catalog(context) as catalog:
        return ToolIndex(catalog.records())


def _say_checked(file: Path, pipeline: Pipeline, index: ToolIndex | None, as_json: bool) -> int:
    from penstock_plugins.composites import find_in
    from penstock_plugins.errors import ToolError
    from penstock_plugins.pipelines.check import check as check_pipeline
    from penstock_plugins.pipelines.check_effects import without_effect
    from penstock_plugins.pipelines.model import walk
    from penstock_plugins.pipelines.traits import tool_names, traits_of
    from penstock_plugins.tool import Tool

    steps = sum(1 for _ in walk(pipeline.steps))
    summary: dict[str, Any] = {
        "ok": True,
        "pipeline": pipeline.name,
        "version": pipeline.version,
        "steps": steps,
    }
    # Without tools: as if each were there, and took anything.
    find = find_in(index) if index is not None else lambda name: Tool(name="any", plugin="any")
    problems = check_pipeline(pipeline, find)
    if index is not None and not problems:
        try:
            summary["traits"] = traits_of(pipeline, find)
        except ToolError as error:  # composites inside of themselves
            problems = [_problem(error.message)]
    if problems:
        return _say_wrong(file, problems, as_json)
    if index is not None:
        used = [index.resolve(name) for name in tool_names(pipeline)]
        summary["tools"] = [
            {"tool": one.tool.full_name, "version": one.tool.version, "digest": one.digest} for one in used
        ]
    _say_fine(summary, [] if index is None else without_effect(pipeline, find), as_json)
    return OK


def _say_fine(summary: dict[str, Any], warnings: list[Problem], as_json: bool) -> None:
    traits = summary.pop("traits", None)
    if as_json:
        known = {} if traits is None else {"traits": asdict(traits)}
        print_json({**summary, **known, "problems": [], "warnings": [asdict(one) for one in warnings]})
        return
    head = f" {summary['version']}  {counted(summary['steps'], 'step')}"
    out().print(Text.assemble((summary["pipeline"], NAME), head))
    for tool in summary.get("tools", ()):
        line = (f"  {tool['tool']:<24}", NAME), f" {tool['version']}  ", (tool["digest"][:12], QUIET)
        out().print(Text.assemble(*line))
    for one in warnings:
        out().print(Text(safe(f"  ! {one}"), WARN))
    if traits is not None:
        out().print(Text.assemble(("  as a whole  ", QUIET), traits_text(traits)))
        out().print(Text("  ✔ It can run.", GOOD))
    else:
        out().print(Text("  ✔ The file is fine; its tools were not looked at.", GOOD))


def _say_wrong(file: Path, problems: list[Problem], as_json: bool) -> int:
    if as_json:
        print_json({"ok": False, "problems": [asdict(one) for one in problems]})
        return FAILED
    out().print(Text(str(file), NAME))
    for one in problems:
        out().print(Text.assemble(("  ✘ ", BAD), safe(str(one))))
    return FAILED


def _problem(text: str) -> Problem:
    from penstock_plugins.pipelines.model import Problem

    return Problem(path="", step="", message=text)
