"""`penstock job tree` and `resume`: how a run of a pipeline stands, step by step, and how it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock.cli.console import BAD, GOOD, NAME, QUIET, WARN, out, print_json, print_table, safe, say_note
from penstock.cli.exits import INTERRUPTED, OK
from penstock.cli.options import AsJson, flag
from penstock.cli.session import settings_of
from penstock.cli.words import counted, span

if TYPE_CHECKING:
    from penstock_scheduler.job import AnyJob
    from penstock_scheduler.tree import RunTree, StepStatus

#: Seconds between two looks.
_LOOK_S = 0.5
_STATES = {"done": GOOD, "failed": BAD, "running": NAME, "waiting": QUIET}
_COLUMNS = ("step", "kind", "in", "out", "failed", "filtered", "skipped", "mean", "total")
_NUMBERS = _COLUMNS[2:]

_JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the run.", show_default=False)]


def add_to(group: typer.Typer) -> None:
    """Add these commands to `penstock job`."""
    group.command()(tree)
    group.command()(resume)


def tree(
    context: typer.Context,
    job_id: _JobId,
    watch: Annotated[bool, flag("--watch", help="Keep looking until the run has ended.")] = False,
    item: Annotated[
        int | None, typer.Option("--item", metavar="N", min=0, help="Print the trace of one item, as JSON.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Show how a run of a pipeline stands: each step with its items, failures and time.

    [bold]Examples[/bold]

      penstock job tree 7f3c… --watch
      penstock job tree 7f3c… --item 0
    """
    from penstock_scheduler import Producer

    settings = settings_of(context)
    with Producer(settings) as producer:
        job = producer.job(job_id)
        if item is not None:
            return _show_item(job, item)
        shown = job.tree()
        if not watch:
            _show(shown, as_json=as_json)
            return OK
        if as_json or not out().is_terminal:
            while not shown.state.final:
                time.sleep(_LOOK_S)
                shown = job.tree()
            _show(shown, as_json=as_json)
            return OK
        with Live(_picture(shown), console=out(), refresh_per_second=4) as live:
            while not shown.state.final:
                time.sleep(_LOOK_S)
                shown = job.tree()
                live.update(_picture(shown))
    return OK


def resume(
    context: typer.Context,
    job_id: _JobId,
    pinned: Annotated[
        bool, flag("--pinned", help="Go on with the plugins that the run began with, whatever has changed.")
    ] = False,
    latest: Annotated[bool, flag("--latest", help="Go on with what the tools' names mean now.")] = False,
    source: Annotated[
        Path | None,
        typer.Option("--input", "-i", metavar="FILE", help="Compare these rows with what the run was given."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Go on with a run that has ended: its items that failed or were stopped, from their last good step.

    It becomes a job of its own, JOB-r1; doing this twice runs once. When what the run calls has changed, it
    is refused until --pinned or --latest is said.

    [bold]Example[/bold]

      penstock job resume 7f3c…
    """
    from penstock.cli.rows import InputRows
    from penstock_scheduler import Producer
    from penstock_scheduler.resuming import next_id

    if pinned and latest:
        raise typer.BadParameter("--pinned and --latest exclude each other")
    inputs = None
    if source is not None:
        rows = InputRows(source)
        rows.check()
        inputs = list(rows)
    try:
        with Producer(settings_of(context)) as producer:
            job = producer.resume(job_id, pinned=pinned, latest=latest, inputs=inputs)
            accepted = job.progress().accepted
    except KeyboardInterrupt:
        say_note(f"Stopped: items of {job_id} may be going on as {next_id(job_id)}, and others may not be.")
        say_note("The same command sends what is left; nothing is sent twice.")
        return INTERRUPTED
    if as_json:
        print_json({"job": job.id, "resumes": job_id, "items": accepted})
    else:
        out().print(job.id)
        say_note(f"{counted(accepted, 'item')} of {job_id} went on: penstock job tree {job.id} --watch")
        say_note(f"All results, as they end: penstock job results {job.id} --output FILE")
    return OK


def _show_item(job: AnyJob, index: int) -> int:
    """The trace of one item, while the others may run."""
    result = job.item(index)
    if result is None:
        raise typer.BadParameter(f"item {index} of job {job.id} has not ended: look again later")
    shape = result.to_dict()
    trace = shape.pop("trace", None)
    shape.pop("metadata", None)
    print_json({**shape, "trace": trace})
    return OK


def _show(shown: RunTree, *, as_json: bool) -> None:
    if as_json:
        print_json(shown.to_dict())
        return
    if out().is_terminal:
        out().print(_picture(shown))
    else:
        out().print(_headline(shown))
        print_table(_COLUMNS, [[str(cell) for cell in row] for row in _rows(shown)], right=_NUMBERS)


def _picture(shown: RunTree) -> Group:
    return Group(_headline(shown), _table(shown))


def _headline(shown: RunTree) -> Text:
    items = shown.progress
    total = "…" if items.total is None else f"{items.total:,}"
    line = Text.assemble((safe(shown.pipeline), NAME), f"  {shown.state.value}  ")
    line.append(f"{items.done:,} of {total} items done")
    if items.failed:
        line.append(f", {items.failed:,} failed", BAD)
    if items.unrun:
        line.append(f", {items.unrun:,} not run", WARN)
    line.append(f"   job {shown.job}", QUIET)
    return line


def _table(shown: RunTree) -> Table:
    table = Table(box=None, pad_edge=False, header_style=QUIET)
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in _NUMBERS else "left", no_wrap=True)
    for row in _rows(shown):
        table.add_row(*row)
    return table


def _rows(shown: RunTree) -> Iterator[list[Text]]:
    for step in shown.steps:
        yield from _step_rows(step, 0)


def _step_rows(step: StepStatus, depth: int) -> Iterator[list[Text]]:
    label = Text("  " * depth + safe(step.label), _STATES[step.state])
    if step.tool is not None and step.tool != step.label:
        label.append(f" {safe(step.tool)}", QUIET)
    if step.state == "running" and not step.entered:  # counted when it ends
        label.append("  running", NAME)
    counts: list[Any] = [step.entered, step.left, step.failed, step.filtered, step.skipped]
    cells = [Text(f"{count:,}" if count else "", BAD if n == 2 else "") for n, count in enumerate(counts)]
    times = [Text(span(ms / 1000) if step.entered else "", QUIET) for ms in (step.mean_ms, step.total_ms)]
    yield [label, Text(step.kind, QUIET), *cells, *times]
    for key, steps in step.bodies.items():
        if key not in {"steps", "catch", "composite"}:
            yield [Text("  " * (depth + 1) + safe(key.removeprefix("parallel.")), QUIET), *[Text("")] * 8]
        inner = depth + (1 if key in {"steps", "catch", "composite"} else 2)
        for one in steps:
            yield from _step_rows(one, inner)
