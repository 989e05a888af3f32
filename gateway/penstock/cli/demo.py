"""`penstock demo`: see it work, with nothing configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import BAD, GOOD, QUIET, err, out, print_json
from penstock.cli.exits import FAILED, OK
from penstock.cli.options import flag

if TYPE_CHECKING:
    from penstock.demo.calls import Calls


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="One line for each file.")
    ] = Path("demo-results.jsonl"),
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="The HTML page with the charts.",
            show_default="demo-report.html beside the output",
        ),
    ] = None,
    files: Annotated[
        int | None, typer.Option("--files", metavar="N", min=1, help="Files of the library at most.")
    ] = None,
    as_json: Annotated[bool, flag("--json", help="Print the summary as one JSON object.")] = False,
) -> int:
    """Call sandboxed tools in C, JavaScript and Python by the thousand, and stop two hostile ones on the way.

    `text.stats` (C) and `code.outline` (Python) take every file of Python's
    standard library, `markdown.to_html` (JavaScript) takes Penstock's documents.
    What came of it is shown here, and with charts in an HTML page.

    It starts a system of its own in a temporary folder (Redis, a scheduler, a
    worker with two processes) and stops it at the end. Nothing needs to be
    configured. It takes one to two minutes on two cores; the first time,
    compiling the plugins is part of them.

    [bold]Examples[/bold]

      penstock demo

      penstock demo --files 200 --report /tmp/report.html
    """
    from penstock.cli.report_file import NAME, ReportFile
    from penstock.cli.result_files import check_writable
    from penstock.cli.rows import STANDARD
    from penstock.demo.page import show
    from penstock.demo.run import PROCESSES, run_demo
    from penstock.demo.web.document import document
    from penstock.demo.web.place import command_line, place

    if output == STANDARD:
        raise typer.BadParameter("The lines are written beside the report: name a file")
    check_writable(output)
    page = ReportFile(output.with_name(NAME) if report is None else report)
    page.check(beside=output)
    where = place(command_line(), processes=PROCESSES)
    found = run_demo(output, most_files=files, say=lambda text: err().print(Text(text, QUIET)))
    page.write(document(found, where))
    problems = found.problems()
    if as_json:
        print_json(
            {
                **found.totals(),
                "calls": found.calls,
                "tools": {calls.tool: _summary(calls) for calls in found.runs},
                "hostile": [stopped.result.to_dict() for stopped in found.hostile],
                "output": str(output),
                "report": str(page.path),
                "problems": problems,
            }
        )
    else:
        show(found, out())
        out().print()
        verdict = ("  Not all is well.", BAD) if problems else ("  All is well.", GOOD)
        out().print(Text.assemble(verdict))
        out().print(Text(f"  A page with charts, for a browser:  {page.path}"))
        out().print(Text(f"  One line for each file:             {output}"))
    return FAILED if problems else OK


def _summary(calls: Calls) -> dict[str, Any]:
    return {
        "calls": len(calls.results),
        "failed": len(calls.failures()),
        "excused": len(calls.excused),
        "took_s": round(calls.took_s, 3),
        "calls_per_second": round(calls.per_second, 1),
    }
