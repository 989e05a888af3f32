"""`penstock map`: one call for each row of a JSON Lines file; can be interrupted and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import BAD, GOOD, QUIET, err, print_json
from penstock.cli.exits import FAILED, INTERRUPTED, OK
from penstock.cli.maplog import MapLog, MapRun
from penstock.cli.options import BatchKey, Deadline, Eta, QueueName, Timeout, flag
from penstock.cli.progress import CallProgress
from penstock.cli.result_files import ResultFiles
from penstock.cli.rows import STANDARD, InputRows
from penstock.cli.session import settings_of
from penstock.cli.system import find_tool
from penstock.cli.words import counted

if TYPE_CHECKING:
    from penstock_plugins.result import ToolResult
    from penstock_scheduler import Job
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
    from penstock_scheduler import Producer

    settings = settings_of(context)
    log = MapLog(settings.state_dir / "maps")
    run = _run(log, resume, tool, source, target)
    rows, files = InputRows(_near(run.input)), ResultFiles(_near(run.output))
    files.check()
    files.keep_clear_of(_near(run.input))
    rows.check()
    log.check_unchanged(run)

    options: CallOptions = {
        "timeout_s": timeout_s,
        "deadline_s": deadline_s,
        "queue": queue,
        "batch_key": batch_key,
        "eta_s": eta_s,
    }
    if strict:
        _check_against_schema(context, run.tool, rows)
    try:
        # An error that leaves this block, Ctrl-C included, stops the feeding and leaves the job resumable.
        with Producer(settings) as producer, files:
            job = producer.map(run.tool, rows, job=resume, **options)
            run = log.write(run, job.id)
            files.open(resume=resume is not None)
            _collect(job, rows, files, run)
    except KeyboardInterrupt:
        return _interrupted(run, files)
    log.remove(run)
    _summarize(files, run, as_json)
    return FAILED if files.failed else OK


def _check_against_schema(context: typer.Context, tool: str, rows: InputRows) -> None:
    from penstock_plugins.schema import ParamsSchema

    schema = ParamsSchema(find_tool(context, tool).parameters)

    def problem(row: dict[str, Any]) -> str | None:
        return "; ".join(f"{found['path']}: {found['message']}" for found in schema.violations(row)) or None

    rows.check(problem)


def _run(
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


def _collect(job: Job[list[ToolResult]], rows: InputRows, files: ResultFiles, run: MapRun) -> None:
    with CallProgress(run.tool, rows.count, done=files.count) as progress:
        for result in job.results():
            if files.write(result):
                progress.advance(failed=not result.success)


def _interrupted(run: MapRun, files: ResultFiles) -> int:
    if not run.job:
        return INTERRUPTED
    err().print(Text(f"Stopped after {counted(files.count, 'result')}; what was sent goes on.", QUIET))
    if run.input == str(STANDARD):
        err().print(f"Look at it with: penstock job show {run.job}")
    else:
        err().print(f"Resume with: penstock map --resume {run.job}")
    return INTERRUPTED


def _summarize(files: ResultFiles, run: MapRun, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "job": run.job,
                "tool": run.tool,
                "calls": files.count,
                "succeeded": files.succeeded,
                "failed": files.failed,
                "output": run.output,
                "failures": str(files.failed_path) if files.failed and files.failed_path else None,
            }
        )
        return
    line = Text.assemble((counted(files.succeeded, "row"), GOOD), " done")
    if files.path != STANDARD:
        line.append(f" → {files.path}")
    if files.failed:
        line.append(f", {files.failed:,} failed", BAD)
        if files.failed_path is not None:
            line.append(f" → {files.failed_path}")
    line.append(f"   job {run.job}", QUIET)
    err().print(line)


def _near(path: str) -> Path:
    """The path as people would type it here."""
    here = Path.cwd()
    return Path(path).relative_to(here) if Path(path).is_relative_to(here) else Path(path)
