"""`penstock call`: one call of one tool, through the queue or in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from penstock.cli.console import BAD, WARN, err, out, print_json, print_value, safe, say_note
from penstock.cli.exits import FAILED, INTERRUPTED, OK
from penstock.cli.one_job import run_one
from penstock.cli.options import BatchKey, Deadline, Eta, QueueName, Timeout, flag
from penstock.cli.params import RawParams, read_params
from penstock.cli.session import settings_of
from penstock.cli.system import find_tool
from penstock.cli.words import span

if TYPE_CHECKING:
    from penstock_plugins.result import ToolResult
    from penstock_scheduler.options import SubmitOptions

_MOST_LOG_LINES = 20


def call(
    context: typer.Context,
    tool: Annotated[
        str,
        typer.Argument(metavar="TOOL", help="plugin.tool, plugin@version.tool, or tool where that is clear."),
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Params: key=value, key:=JSON, or key=@file."),
    ] = None,
    params: Annotated[
        str | None, typer.Option("--params", metavar="JSON|@FILE|-", help="All params as one JSON object.")
    ] = None,
    local: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run a plugin folder in this process: no broker, no worker."),
    ] = None,
    timeout_s: Timeout = None,
    deadline_s: Deadline = None,
    queue: QueueName = None,
    batch_key: BatchKey = None,
    eta_s: Eta = None,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="The same key gives the same job.")
    ] = None,
    detach: Annotated[bool, flag("--detach", help="Print the job's id and do not wait.")] = False,
    as_json: Annotated[bool, flag("--json", help="Print the whole result as one JSON object.")] = False,
) -> int:
    """Call a tool and print what it returns. Exit code 1 when the call fails.

    Values are typed by the tool's schema: count=3 is a number where the tool wants one.

    [bold]Examples[/bold]

      penstock call text.slug text="Hello, World"
      penstock call text.stats text=@README.md --json
      penstock call text.distance --params '{"a": "kitten", "b": "sitting"}'
      penstock call text.slug text=Hi --local plugins/examples/text
    """
    raw = read_params(pairs or (), params)
    if local is not None:
        if queue or key or detach or deadline_s or batch_key or eta_s:
            raise typer.BadParameter(
                "--local runs here: --queue, --deadline, --eta, --detach and keys mean nothing"
            )
        answer: ToolResult | str | None = _run_here(context, local, tool, raw, timeout_s)
    else:
        options: SubmitOptions = {
            "timeout_s": timeout_s,
            "deadline_s": deadline_s,
            "queue": queue,
            "batch_key": batch_key,
            "eta_s": eta_s,
            "idempotency_key": key,
        }
        answer = _submit(context, tool, raw, options, detach=detach)
    if answer is None:
        return INTERRUPTED
    if isinstance(answer, str):
        print_json({"job": answer}) if as_json else out().print(answer)
        return OK
    if as_json:
        print_json(answer.to_dict())
    else:
        show_result(answer)
    return OK if answer.success else FAILED


def _run_here(
    context: typer.Context, folder: Path, tool: str, raw: RawParams, timeout_s: float | None
) -> ToolResult:
    from penstock.cli.trial import SilentSink
    from penstock_plugins.schema import ParamsSchema
    from penstock_workers import Executor  # needs wasmtime

    if not folder.is_dir():
        raise typer.BadParameter(f"{folder}: no such folder", param_hint="--local")
    settings = settings_of(context)
    with Executor.local(
        folder,
        cache_dir=settings.cache_dir,
        operator_policy=settings.operator_policy,
        log_sink=SilentSink(),
        sandbox_path=settings.sandbox_path,
    ) as executor:
        schema = executor.tool(tool).parameters
        params = raw.typed(schema)
        ParamsSchema(schema).check(params)
        return executor.run(tool, params, timeout_s=timeout_s)


def _submit(
    context: typer.Context, tool: str, raw: RawParams, options: SubmitOptions, *, detach: bool
) -> ToolResult | str | None:
    """As `run_one`."""
    schema = find_tool(context, tool).parameters if raw.pairs else {}
    return run_one(settings_of(context), tool, raw.typed(schema), options, wait=not detach)


def undoing_lines(details: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What became of the steps that were to be undone when a pipeline failed, with a style for each line."""
    undone, not_undone = details.get("undone"), details.get("not_undone")
    if isinstance(undone, list) and undone:
        yield f"  undone: {', '.join(str(step) for step in undone)}", ""
    if isinstance(not_undone, list) and not_undone:
        why = [f"{one.get('step')} ({one.get('message')})" for one in not_undone if isinstance(one, dict)]
        yield f"  could not be undone: {', '.join(why)}", WARN


def show_result(result: ToolResult) -> None:
    """A result for people: what the tool returned on stdout, what happened on stderr."""
    metadata = result.metadata
    for line in metadata.logs[:_MOST_LOG_LINES]:
        say_note(safe(f"{line.get('level', 'info')}: {line.get('message', '')}"))
    if len(metadata.logs) > _MOST_LOG_LINES:
        say_note(f"… and {len(metadata.logs) - _MOST_LOG_LINES} more log lines (see --json)")
    for refused in metadata.denied:
        err().print(Text(safe(f"denied: {refused}"), WARN))
    if result.success:
        print_value(result.data)
    elif result.error is not None:
        err().print(Text.assemble((result.error.code.value, BAD), f" {safe(result.error.message)}"))
        for violation in (result.error.details or {}).get("errors", ())[:10]:
            if isinstance(violation, dict):
                err().print(Text(safe(f"  {violation.get('path')}: {violation.get('message')}")))
        for said, style in undoing_lines(result.error.details or {}):
            err().print(Text(safe(said), style))
    parts = [f"took {span(metadata.execution_ms / 1000)}"]
    if metadata.queued_ms:
        parts.append(f"waited {span(metadata.queued_ms / 1000)}")
    if metadata.fuel is not None:
        parts.append(f"fuel {metadata.fuel:,}")
    if metadata.attempts > 1:
        parts.append(f"attempt {metadata.attempts}")
    if metadata.worker:
        parts.append(metadata.worker)
    if err().is_terminal:
        say_note(" · ".join(parts))
