"""The command line, `penstock`. One module for each group of commands; `exits` has the errors and exit codes.

No module here imports at its top what a command needs only when it runs: `penstock --help` stays quick, and a
producer's install, which has no wasmtime, has every command but those that run guests.
"""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer
from typer.main import get_command

from penstock.cli import (
    authoring,
    call,
    config,
    dead_letters,
    demo,
    doctor,
    job,
    job_results,
    job_tree,
    limits,
    map,
    pipeline,
    plugin,
    removal,
    replay,
    schedule,
    tools,
    up,
    worker,
)
from penstock.cli.exits import exit_code_of
from penstock.cli.options import flag
from penstock.cli.session import Session

_LOCAL, _CALLS, _PLUGINS, _OPERATE = "Start here", "Calls", "Plugins", "Operate"

app = typer.Typer(
    name="penstock",
    help="Sandboxed WebAssembly tool calls on Celery and Redis.",
    epilog=(
        "[bold]Start here[/bold]\n"
        "  penstock demo                                see it work, in a minute\n"
        "  penstock up                                  run it here; leave it open\n"
        '  penstock call text.slug text="Hello, World"  from another terminal\n'
    ),
    rich_markup_mode="rich",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # reads the installed package's files

        typer.echo(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    redis_url: Annotated[
        str | None,
        typer.Option("--redis", metavar="URL", help="Redis of state and results (PENSTOCK_REDIS_URL)."),
    ] = None,
    broker_url: Annotated[
        str | None,
        typer.Option("--broker", metavar="URL", help="Broker: Redis or RabbitMQ (PENSTOCK_BROKER_URL)."),
    ] = None,
    debug: Annotated[
        bool, flag("--debug", envvar="PENSTOCK_DEBUG", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[
        bool, flag("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Sandboxed WebAssembly tool calls on Celery and Redis."""
    session = context.ensure_object(Session)
    session.redis_url, session.broker_url, session.debug = redis_url, broker_url, debug


app.command(rich_help_panel=_LOCAL)(demo.demo)
app.command(rich_help_panel=_LOCAL)(up.up)
app.command(rich_help_panel=_CALLS)(call.call)
app.command(rich_help_panel=_CALLS, name="map")(map.map_rows)
app.add_typer(pipeline.app, rich_help_panel=_CALLS)
job_tree.add_to(job.app)
job_results.add_to(job.app)
app.add_typer(job.app, rich_help_panel=_CALLS)
app.command(rich_help_panel=_PLUGINS)(tools.tools)
authoring.add_to(plugin.app)
removal.add_to(plugin.app)
app.add_typer(plugin.app, rich_help_panel=_PLUGINS)
app.command(rich_help_panel=_OPERATE)(worker.worker)
app.command(rich_help_panel=_OPERATE)(worker.scheduler)
app.add_typer(limits.app, rich_help_panel=_OPERATE)
app.add_typer(schedule.app, rich_help_panel=_OPERATE)
dead_letters.app.command()(replay.export)
app.add_typer(dead_letters.app, rich_help_panel=_OPERATE)
app.command(rich_help_panel=_OPERATE)(replay.replay)
app.command(rich_help_panel=_OPERATE)(config.config)
app.command(rich_help_panel=_OPERATE)(doctor.doctor)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    session = Session()
    command = get_command(app)
    return exit_code_of(
        lambda: command.main(arguments, prog_name="penstock", standalone_mode=False, obj=session), session
    )


def main() -> NoReturn:
    """The `penstock` program."""
    sys.exit(run(sys.argv[1:]))
