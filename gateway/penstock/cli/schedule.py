"""`penstock schedule`: calls that the schedulers submit again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.text import Text

from penstock.cli.console import NAME, QUIET, out, print_json, print_table, safe
from penstock.cli.exits import FAILED, OK
from penstock.cli.options import AsJson, QueueName
from penstock.cli.params import read_params
from penstock.cli.session import settings_of
from penstock.cli.system import find_tool
from penstock.cli.words import seconds_of, span

if TYPE_CHECKING:
    from penstock_scheduler.timetable import CatchUp, Periodic, Timetable

app = typer.Typer(name="schedule", help="Submit calls again and again.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the entry is called.")]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="As for `penstock call`.")],
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Params, as for `penstock call`."),
    ] = None,
    params: Annotated[
        str | None, typer.Option("--params", metavar="JSON|@FILE|-", help="All params as one JSON object.")
    ] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", metavar="LINE", help="Minute, hour, day, month, weekday.")
    ] = None,
    every: Annotated[
        str | None, typer.Option("--every", metavar="SPAN", help="Instead of --cron: 90s, 15m, 2h, 1d.")
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Of --cron, such as Europe/Berlin.")
    ] = "UTC",
    catch_up: Annotated[
        str,
        typer.Option("--catch-up", metavar="HOW", help="Times missed by all schedulers: skip, last or all."),
    ] = "last",
    queue: QueueName = None,
    as_json: AsJson = False,
) -> None:
    """Submit a call again and again, from now on; an entry of that name is replaced.

    However many schedulers run, each time is submitted once.

    [bold]Examples[/bold]

      penstock schedule add nightly text.slug text=Hello --cron "30 2 * * *" --timezone Europe/Berlin
      penstock schedule add often text.slug text=Hello --every 15m --catch-up skip
    """
    from penstock_broker_config import crash
    from penstock_broker_config.queues import queue_name
    from penstock_plugins.schema import ParamsSchema
    from penstock_scheduler.timetable import Periodic

    raw = read_params(pairs or (), params)
    every_s = seconds_of(every) if every is not None else None
    if every is not None and every_s is None:
        raise typer.BadParameter(f"--every must be a span such as 90s, 15m, 2h or 1d; got {every!r}")
    # What can be wrong with the times and the queue is said before anything is connected to.
    if queue is not None:
        queue_name(queue)
    times = Periodic(
        name=name,
        tool=tool,
        cron=cron,
        every_s=every_s,
        timezone=timezone,
        catch_up=cast("CatchUp", catch_up),
        queue=queue,
    )
    found = find_tool(context, tool)
    typed = raw.typed(found.parameters)
    ParamsSchema(found.parameters).check(typed)
    entry = Periodic(**{**asdict(times), "params": typed})
    with _timetable(context) as timetable:
        crash.reach("operator.before_schedule")
        due_ms = timetable.put(entry)
        crash.reach("operator.after_schedule")
    if as_json:
        print_json(_shape(entry, due_ms))
    else:
        out().print(Text.assemble((safe(name), NAME), f"  {safe(tool)} first {_when(due_ms)}"))


@app.command("list")
def list_entries(context: typer.Context, as_json: AsJson = False) -> None:
    """List the entries, the next one first.

    [bold]Example[/bold]

      penstock schedule list
    """
    with _timetable(context) as timetable:
        entries, now_ms = timetable.entries(), timetable.now_ms()
    if as_json:
        print_json([_shape(entry, due_ms) for entry, due_ms in entries])
        return
    if not entries:
        out().print(Text("Nothing is scheduled. Add something: penstock schedule add --help", QUIET))
        return
    print_table(
        ("name", "tool", "when", "missed", "next", "in"),
        [
            (
                Text(safe(entry.name), NAME),
                safe(entry.tool),
                safe(entry.cron or f"every {span(entry.every_s or 0.0)}"),
                entry.catch_up,
                _when(due_ms),
                span(max(0.0, (due_ms - now_ms) / 1000)),
            )
            for entry, due_ms in entries
        ],
        right=("in",),
    )


@app.command()
def remove(context: typer.Context, name: Name) -> int:
    """Remove an entry; what it has submitted goes on. Exit code 1 when there is none.

    [bold]Example[/bold]

      penstock schedule remove nightly
    """
    from penstock_broker_config import crash

    with _timetable(context) as timetable:
        crash.reach("operator.before_unschedule")
        removed = timetable.remove(name)
        crash.reach("operator.after_unschedule")
    what = "removed" if removed else "there is no such entry"
    out().print(Text.assemble((safe(name), NAME), f"  {what}"))
    return OK if removed else FAILED


@contextmanager
def _timetable(context: typer.Context) -> Iterator[Timetable]:
    from penstock_broker_config.store import connect_store
    from penstock_scheduler.timetable import Timetable

    settings = settings_of(context)
    with connect_store(settings) as client:
        yield Timetable(client, settings.keys)


def _shape(entry: Periodic, due_ms: int) -> dict[str, Any]:
    return {**asdict(entry), "next_ms": due_ms}


def _when(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    near = abs(moment.timestamp() - time.time()) < 86_400
    return moment.strftime("%H:%M:%S" if near else "%Y-%m-%d %H:%M")
