"""`penstock map`: one call for each row of a JSON Lines file; can be interrupted and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.maplog import MapLog, MapRun
from penstock.cli.options import BatchKey, Deadline, Eta, QueueName, Timeout, flag
from penstock.cli.rows import InputRows
from penstock.cli.rows_run import RowsRun
from penstock.cli.session import settings_of
from penstock.cli.system import find_tool

if TYPE_CHECKING:
    from penstock_scheduler.options import CallOptions


def map_rows(
    context: typer.Context,
    tool: Annotated[
        str | None, typer.Argument(metavar="TOOL", help="Tool to call for each row.", show_default=False)
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--input", "-i", metavar="FILE", help="JSON Lines, a params object each; -."),
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSON Lines, a result each; -.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="JOB", help="Go on with a job that was interrupted.")
    ] = None,
    strict: Annotated[
        bool, flag("--strict", help="Send nothing when a row does not fit the tool's schema.")
    ] = False,
    timeout_s: Timeout = None,
    deadline_s: Deadline = None,
    queue: QueueName = None,
    batch_key: BatchKey = None,
    eta_s: Eta = None,
    as_json: Annotated[bool, flag("--json", help="Print the summary as one JSON object.")] = False,
) -> int:
    """Call a tool for each row of a file. Results come in the order in which they end, with their `index`.

    Failures are also in OUT.failed.jsonl, and the exit code is 1 when there are some. Ctrl-C leaves
    everything so that --resume can go on.

    [bold]Examples[/bold]

      penstock map text.stats --input rows.jsonl --output out.jsonl
      penstock map --resume 7f3c…
      cat rows.jsonl | penstock map text.slug -i - -o - | jq .data
    """
    settings = settings_of(context)
    log = MapLog(settings.state_dir / "maps")
    run = what_to_run(log, resume, tool, source, target)
    work = RowsRun(log, run, resume=resume, again="penstock map --resume")
    work.check()
    options: CallOptions = {
        "timeout_s": timeout_s,
        "deadline_s": deadline_s,
        "queue": queue,
        "batch_key": batch_key,
        "eta_s": eta_s,
    }
    if strict:
        _check_against_schema(context, run.tool, work.rows)
    return work.go(
        settings,
        lambda producer, rows: producer.map(run.tool, rows, job=resume, **options),
        as_json=as_json,
    )


def _check_against_schema(context: typer.Context, tool: str, rows: InputRows) -> None:
    from penstock_plugins.schema import ParamsSchema

    schema = ParamsSchema(find_tool(context, tool).parameters)

    def problem(row: dict[str, Any]) -> str | None:
        return "; ".join(f"{found['path']}: {found['message']}" for found in schema.violations(row)) or None

    rows.check(problem)


def what_to_run(
    log: MapLog, resume: str | None, tool: str | None, source: Path | None, target: Path | None
) -> MapRun:
    """What to run: as the command line says, or as the interrupted run was started."""
    if resume is not None:
        before = log.read(resume)
        if before is not None:
            return before.changed(tool=tool, source=source, target=target)
    for value, name in ((tool, "TOOL"), (source, "--input"), (target, "--output")):
        if value is None:
            more = f": job {resume} was not interrupted here, so say all as it was started" if resume else ""
            raise typer.BadParameter(f"{name} is missing{more}")
    return MapRun.of(str(tool), Path(source or ""), Path(target or ""))
