"""`penstock job`: look at jobs, and cancel them, from any machine that reaches the store."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import (
    BAD,
    GOOD,
    NAME,
    NUMBER,
    QUIET,
    WARN,
    out,
    print_json,
    print_table,
    safe,
    say_note,
)
from penstock.cli.options import AsJson
from penstock.cli.system import open_ledger
from penstock.cli.words import span

if TYPE_CHECKING:
    from penstock_broker_config.ledger import JobRecord

app = typer.Typer(
    name="job", help="Look at jobs, cancel them, and resume runs of pipelines.", no_args_is_help=True
)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]

_STATE_STYLES = {"succeeded": GOOD, "failed": BAD, "expired": BAD, "cancelled": WARN, "running": NAME}


@app.command()
def show(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Show where a job stands.

    [bold]Example[/bold]

      penstock job show 7f3c…
    """
    with open_ledger(context) as ledger:
        record = ledger.job(job_id)
    if as_json:
        print_json(_shape(record))
        return
    rows: list[tuple[str, str | Text]] = [
        ("job", Text(safe(record.id), NUMBER)),
        ("tool", safe(f"{record.tool}  ({record.digest[:12]})")),
        ("state", _state(record)),
        ("calls", _calls(record)),
        ("created", _when(record.created_ms)),
    ]
    if record.started_ms is not None:
        rows.append(
            ("started", f"{_when(record.started_ms)}, after {_between(record.created_ms, record.started_ms)}")
        )
    if record.finished_ms is not None:
        took = _between(record.started_ms or record.created_ms, record.finished_ms)
        rows.append(("finished", f"{_when(record.finished_ms)}, took {took}"))
    if record.deadline_ms is not None:
        rows.append(("deadline", _when(record.deadline_ms)))
    if record.status:
        rows.append(("status", safe(record.status)))
    if record.error:
        rows.append(("error", Text(safe(record.error), BAD)))
    for name, value in rows:
        out().print(Text.assemble((f"{name:<10}", QUIET), value))


@app.command()
def cancel(context: typer.Context, job_id: JobId, as_json: AsJson = False) -> None:
    """Cancel a job: what waits never starts, what runs is stopped, results that exist stay.

    [bold]Example[/bold]

      penstock job cancel 7f3c…
    """
    from penstock_broker_config import crash

    with open_ledger(context) as ledger:
        crash.reach("operator.before_cancel")
        cancelled = ledger.cancel(job_id)
        crash.reach("operator.after_cancel")
        record = ledger.job(job_id)
    if as_json:
        print_json({"job": job_id, "cancelled": cancelled, "state": record.state.value})
    elif cancelled:
        out().print(Text.assemble(("Cancelled ", WARN), job_id, (f"  {_calls(record)}", QUIET)))
    else:
        out().print(Text.assemble(job_id, " had ended before: ", _state(record)))


@app.command("list")
def list_jobs(
    context: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="COUNT", min=1, max=10_000, help="How many at most.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs, newest first.

    [bold]Example[/bold]

      penstock job list -n 50
    """
    with open_ledger(context) as ledger:
        records, now_ms = ledger.jobs(limit), ledger.clock_ms()
    if as_json:
        print_json([_shape(record) for record in records])
        return
    if not records:
        say_note("There are no jobs yet: `penstock call` and `penstock map` make some.")
        return
    print_table(
        ("job", "tool", "state", "calls", "failed", "age"),
        [
            (
                safe(record.id),
                safe(record.tool),
                _state(record),
                f"{record.done + record.failed:,}/{'…' if record.total is None else f'{record.total:,}'}",
                Text(f"{record.failed:,}", BAD if record.failed else ""),
                span(max(0.0, (now_ms - record.created_ms) / 1000)),
            )
            for record in records
        ],
        right=("calls", "failed", "age"),
    )


def _shape(record: JobRecord) -> dict[str, Any]:
    shape = asdict(record)
    shape["state"] = record.state.value
    return shape


def _state(record: JobRecord) -> Text:
    return Text(record.state.value, _STATE_STYLES.get(record.state.value, ""))


def _calls(record: JobRecord) -> str:
    total = f"of {record.total:,}" if record.total is not None else f"of {record.accepted:,} so far"
    parts = [f"{record.done:,} succeeded", f"{record.failed:,} failed"]
    if record.expired:
        parts.append(f"{record.expired:,} out of time")
    return f"{', '.join(parts)}, {total}"


def _when(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _between(start_ms: int, end_ms: int) -> str:
    return span(max(0, end_ms - start_ms) / 1000)
