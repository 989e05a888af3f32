"""`penstock job results`: what a job came to, into files, on any machine and at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.console import QUIET, err, print_json, say_note
from penstock.cli.exits import FAILED, OK
from penstock.cli.options import AsJson
from penstock.cli.progress import CallProgress
from penstock.cli.result_files import ResultFiles
from penstock.cli.rows import STANDARD
from penstock.cli.rows_run import what_came, what_came_shape
from penstock.cli.session import settings_of

if TYPE_CHECKING:
    from penstock_plugins.result import ToolResult
    from penstock_scheduler import Producer
    from penstock_scheduler.job import AnyJob


def add_to(group: typer.Typer) -> None:
    """Add this command to `penstock job`."""
    group.command()(results)


def results(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", show_default=False)],
    target: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="JSON Lines, a result each; -.")
    ] = STANDARD,
    as_json: AsJson = False,
) -> int:
    """Write the results of a job: a line for each call or item, as `penstock map` and `pipeline run` do.

    Those that have not ended are waited for. Of a run that goes on with another (JOB-r1) it is all items of
    both, by their indexes in the first: what went on has the result of the last run, the others theirs.

    [bold]Examples[/bold]

      penstock job results 7f3c… > out.jsonl
      penstock job results 7f3c…-r1 -o out.jsonl
    """
    from penstock_scheduler import Producer

    files = ResultFiles(target)
    files.check()
    with Producer(settings_of(context)) as producer:
        runs = _runs(producer, job_id)
        newest, _ = runs[0]
        if newest.progress().total is None:
            say_note(f"Job {job_id} may be given more inputs: its results are written as they end.")
        total = runs[-1][0].progress().total
        with files, CallProgress(newest.tool, total) as progress:
            files.open(resume=False)
            for result in _newest_first(runs):
                if files.write(result):
                    progress.advance(failed=not result.success)
    if as_json:
        print_json({"job": job_id, "tool": newest.tool, **what_came_shape(files)})
    else:
        err().print(what_came(files).append(f"   job {job_id}", QUIET))
    return FAILED if files.failed else OK


def _runs(producer: Producer, job_id: str) -> list[tuple[AnyJob, tuple[int, ...] | None]]:
    """The job and the runs that it goes on with, newest first.

    Each with the indexes of its items in the first of them; None: they are its own.
    """
    job = producer.job(job_id)
    runs: list[tuple[AnyJob, tuple[int, ...] | None]] = [(job, None)]
    while (origin := job.origin()) is not None:
        runs = [
            (one, origin.indexes if own is None else tuple(origin.indexes[index] for index in own))
            for one, own in runs
        ]
        job = producer.job(origin.job)
        runs.append((job, None))
    return runs


def _newest_first(runs: list[tuple[AnyJob, tuple[int, ...] | None]]) -> Iterator[ToolResult]:
    """Every result of every run; the first one of an index is the one that counts."""
    for job, indexes in runs:
        for result in job.results():
            if indexes is None or result.index is None:
                yield result
            else:
                yield replace(result, index=indexes[result.index])
