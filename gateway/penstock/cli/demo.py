"""`penstock demo`: see it work, with nothing configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import GOOD, QUIET, err, out, print_json
from penstock.cli.exits import FAILED, OK
from penstock.cli.options import flag

if TYPE_CHECKING:
    from penstock.demo.calls import Calls


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="One line for each file.")
    ] = Path("demo-results.jsonl"),
    files: Annotated[
        int | None, typer.Option("--files", metavar="N", min=1, help="Files of the library at most.")
    ] = None,
    as_json: Annotated[bool, flag("--json", help="Print the summary as one JSON object.")] = False,
) -> int:
    """Measure every file of Python's standard library in a sandbox, and stop two hostile plugins on the way.

    It starts a system of its own in a temporary folder (Redis, a scheduler, a worker with two processes) and
    stops it at the end. Nothing needs to be configured.

    [bold]Example[/bold]

      penstock demo
    """
    from penstock.cli.result_files import ResultFiles
    from penstock.demo.page import show
    from penstock.demo.run import run_demo

    ResultFiles(output).check()
    report = run_demo(output, most_files=files, say=lambda text: err().print(Text(text, QUIET)))
    problems = report.problems()
    if as_json:
        print_json(
            {
                **report.totals(),
                "calls": report.calls,
                "tools": {calls.tool: _summary(calls) for calls in report.runs},
                "hostile": [stopped.result.to_dict() for stopped in report.hostile],
                "output": str(output),
                "problems": problems,
            }
        )
    else:
        show(report, out())
        out().print()
        out().print(
            Text.assemble(
                (
                    "  All is well." if not problems else "  Not all is well.",
                    GOOD if not problems else "bold red",
                ),
                f"  One line for each file: {output}",
            )
        )
    return FAILED if problems else OK


def _summary(calls: Calls) -> dict[str, Any]:
    return {
        "calls": len(calls.results),
        "failed": len(calls.failures()),
        "excused": len(calls.excused),
        "took_s": round(calls.took_s, 3),
        "calls_per_second": round(calls.per_second, 1),
    }
