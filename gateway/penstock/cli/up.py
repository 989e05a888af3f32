"""`penstock up`: the whole system on this machine, in one terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from penstock.cli.console import BAD, GOOD, NAME, QUIET, WARN, out, safe
from penstock.cli.options import flag
from penstock.cli.session import settings_of

if TYPE_CHECKING:
    from penstock.loglines import LogLine

_STYLES = {"warning": WARN, "error": BAD, "critical": BAD, "debug": QUIET}
#: Columns of the name in front of each line; the longest of ours is `scheduler`.
_NAME_WIDTH = 10


def up(
    context: typer.Context,
    workers: Annotated[
        int, typer.Option(metavar="COUNT", min=0, max=64, help="Worker processes, each with a pool.")
    ] = 1,
    processes: Annotated[
        int,
        typer.Option(
            "--processes", "-c", metavar="COUNT", min=0, help="Pool processes of each. 0: one per processor."
        ),
    ] = 0,
    plugins: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Plugin folder to publish at the start. May be repeated."),
    ] = None,
    shipped: Annotated[bool, flag(help="Publish the plugins that come with Penstock.")] = True,
    own_redis: Annotated[
        bool, flag("--own-redis", help="Start a Redis of our own even when one is configured.")
    ] = False,
    log_json: Annotated[bool, flag("--json", help="One JSON object a line instead.")] = False,
) -> int:
    """Run everything on this machine: Redis, the scheduler and the workers. Ctrl-C stops it all.

    Without a configured broker it starts a Redis of its own, whose files stay in the state folder. Commands
    and programs on this machine find it by themselves.

    [bold]Examples[/bold]

      penstock up
      penstock up --workers 2 --processes 4 --plugins ./my-plugin
      penstock --broker amqp://localhost// up
    """
    import asyncio

    from penstock.up import UpOptions, run_up

    for folder in plugins or ():
        if not folder.is_dir():
            raise typer.BadParameter(f"{folder}: no such folder", param_hint="--plugins")
    options = UpOptions(
        workers=workers,
        processes=processes,
        plugins=tuple(plugins or ()),
        shipped=shipped,
        own_redis=own_redis,
    )
    return asyncio.run(run_up(settings_of(context), options, _say_json if log_json else _say))


def _say(name: str, line: LogLine) -> None:
    if line.action == "up":
        out().print(
            Text.assemble(
                ("\n  Penstock is up.", GOOD),
                "  In another terminal:\n\n",
                ("    penstock tools\n", NAME),
                ('    penstock call text.slug text="Hello, World"\n\n', NAME),
                ("  Ctrl-C stops it.\n", QUIET),
            )
        )
        return
    text = Text.assemble((name.ljust(_NAME_WIDTH), QUIET), ("│ ", QUIET), safe(line.text))
    style = _STYLES.get(line.level, "")
    if style:
        text.stylize(style, _NAME_WIDTH + 2)
    if style and line.fields:
        shown = "  ".join(f"{key}={value}" for key, value in line.fields.items())
        text.append(safe(f"  {shown}"), QUIET)
    out().print(text)


def _say_json(name: str, line: LogLine) -> None:
    from penstock.cli.console import print_json

    print_json({"from": name, "level": line.level, "action": line.action, "event": line.text, **line.fields})
    out().file.flush()
