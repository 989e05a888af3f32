"""`penstock pipeline run`: one item, or each row of a file; through the queue, or in this process."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.call import show_result
from penstock.cli.console import err, out, print_json, say_note
from penstock.cli.exits import FAILED, INTERRUPTED, OK
from penstock.cli.map import what_to_run
from penstock.cli.maplog import MapLog
from penstock.cli.one_job import run_one
from penstock.cli.options import Deadline, QueueName, flag
from penstock.cli.params import RawParams, read_params
from penstock.cli.pipeline_files import LocalFolders, read_file, refuse_problems
from penstock.cli.progress import CallProgress
from penstock.cli.result_files import ResultFiles
from penstock.cli.rows import InputRows
from penstock.cli.rows_run import RowsRun, what_came
from penstock.cli.session import settings_of

if TYPE_CHECKING:
    from penstock_plugins.pipelines.model import Pipeline
    from penstock_plugins.result import ToolResult
    from penstock_scheduler.options import SubmitOptions


def run(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A pipeline: .yaml, .toml or .json.")],
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="The input: key=value, key:=JSON, or key=@file."),
    ] = None,
    params: Annotated[
        str | None, typer.Option("--params", metavar="JSON|@FILE|-", help="The input as one JSON object.")
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--input", "-i", metavar="FILE", help="JSON Lines, an input each; -.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="JSON Lines, a result each; -.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="JOB", help="Go on with rows that were interrupted.")
    ] = None,
    local: LocalFolders = None,
    deadline_s: Deadline = None,
    queue: QueueName = None,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="The same key gives the same job.")
    ] = None,
    fuse: Annotated[
        bool,
        flag("--fuse/--no-fuse", help="Pure steps that follow each other in one task, or each alone."),
    ] = True,
    wait: Annotated[
        bool, flag("--wait/--detach", help="Wait for the result, or print the job's id and do not.")
    ] = True,
    as_json: Annotated[bool, flag("--json", help="Print the whole result as one JSON object.")] = False,
) -> int:
    """Run a pipeline, and print what comes out. Exit code 1 when it fails.

    With --input each row of a file goes through it, as with `penstock map`; with --local it runs in this
    process, without a broker.

    [bold]Examples[/bold]

      penstock pipeline run summary.yaml --params @files.json
      penstock pipeline run titles.yaml text="To be" --local plugins/examples/text
      penstock pipeline run titles.yaml --input rows.jsonl --output out.jsonl
    """
    from penstock_plugins.errors import InvalidPipelineError

    rows = source is not None or target is not None or resume is not None
    if rows and (pairs or params or key or not wait):
        raise typer.BadParameter(
            "--input takes rows: KEY=VALUE, --params, --idempotency-key and --detach do not go with it"
        )
    if local and (deadline_s or queue or key or resume or not wait):
        raise typer.BadParameter(
            "--local runs here: --queue, --deadline, --detach, --resume and keys mean nothing"
        )
    raw = read_params(pairs or (), params)
    try:
        pipeline = read_file(file)
        if local:
            return _run_here(context, local, pipeline, raw, source, target, as_json=as_json)
        options: SubmitOptions = {"deadline_s": deadline_s, "queue": queue, "fuse": fuse}
        if rows:
            return _rows(context, file, pipeline, source, target, resume, options, as_json=as_json)
        if key is not None:
            options["idempotency_key"] = key
        return _one(context, pipeline, raw, options, wait=wait, as_json=as_json)
    except InvalidPipelineError as error:
        return refuse_problems(file, error, as_json=as_json)


def _one(
    context: typer.Context,
    pipeline: Pipeline,
    raw: RawParams,
    options: SubmitOptions,
    *,
    wait: bool,
    as_json: bool,
) -> int:
    params = raw.typed(pipeline.parameters or {})
    answer = run_one(settings_of(context), pipeline, params, options, wait=wait)
    if answer is None:
        return INTERRUPTED
    if isinstance(answer, str):
        print_json({"job": answer}) if as_json else out().print(answer)
        return OK
    return _show(answer, as_json)


def _show(result: ToolResult, as_json: bool) -> int:
    if as_json:
        print_json(result.to_dict())
    elif result.filtered:
        say_note("It was filtered out.")
    else:
        show_result(result)
    return OK if result.success else FAILED


def _rows(
    context: typer.Context,
    file: Path,
    pipeline: Pipeline,
    source: Path | None,
    target: Path | None,
    resume: str | None,
    options: SubmitOptions,
    *,
    as_json: bool,
) -> int:
    settings = settings_of(context)
    log = MapLog(settings.state_dir / "maps")
    rows_run = what_to_run(log, resume, pipeline.name, source, target)
    work = RowsRun(log, rows_run, resume=resume, again=f"penstock pipeline run {file} --resume")
    work.check()
    return work.go(
        settings,
        lambda producer, rows: producer.map(
            pipeline,
            rows,
            job=resume,
            deadline_s=options.get("deadline_s"),
            queue=options.get("queue"),
            fuse=options.get("fuse"),
        ),
        as_json=as_json,
    )


def _run_here(
    context: typer.Context,
    folders: list[Path],
    pipeline: Pipeline,
    raw: RawParams,
    source: Path | None,
    target: Path | None,
    *,
    as_json: bool,
) -> int:
    from penstock.cli.local_pipeline import run_here  # runs guests: needs wasmtime
    from penstock_plugins.schema import ParamsSchema

    if (source is None) != (target is None):
        raise typer.BadParameter(f"{'--input' if source is None else '--output'} is missing")
    if source is None or target is None:
        given = raw.typed(pipeline.parameters or {})
        if pipeline.parameters is not None:
            ParamsSchema(pipeline.parameters).check(given)
        results = run_here(settings_of(context), folders, pipeline, [given])
        return _show(next(iter(results)), as_json)
    rows, files = InputRows(source), ResultFiles(target)
    files.check()
    files.keep_clear_of(source)
    rows.check()
    results = run_here(settings_of(context), folders, pipeline, rows)
    # A pipeline that cannot run says so with the first result, before a file is touched.
    first = next(results, None)
    with files, CallProgress(pipeline.name, rows.count) as progress:
        files.open(resume=False)
        for result in results if first is None else chain([first], results):
            files.write(result)
            progress.advance(failed=not result.success)
    if as_json:
        print_json(
            {"tool": pipeline.name, "calls": files.count, "failed": files.failed, "output": str(target)}
        )
    else:
        err().print(what_came(files))
    return FAILED if files.failed else OK
