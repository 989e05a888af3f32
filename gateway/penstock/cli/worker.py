"""`penstock worker` and `penstock scheduler`: the two parts that a host runs. What they do is elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from penstock.cli.options import flag
from penstock.cli.session import settings_of

LogLevel = Annotated[
    str, typer.Option("--log-level", metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR, of our own lines.")
]
LogJson = Annotated[bool, flag("--log-json", help="Log one JSON object a line.")]


def worker(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of this worker on its host. By default from the process id."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", "-c", metavar="COUNT", min=0, help="Pool processes. 0: one per processor."
        ),
    ] = None,
    queues: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            "-Q",
            metavar="QUEUE",
            help="Queue to serve: high, default, bulk, pool.NAME. May be repeated.",
        ),
    ] = None,
    warm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLUGIN", help="Plugin to have warm at the start. By default all. May be repeated."
        ),
    ] = None,
    pool: Annotated[
        str, typer.Option(metavar="POOL", help="Celery's pool; only prefork isolates calls.")
    ] = "prefork",
    heartbeat_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Touched every second while the worker is well.")
    ] = None,
    log_level: LogLevel = "INFO",
    log_json: LogJson = False,
) -> int:
    """Run calls: a Celery worker with a pool of sandboxing processes. Linux only.

    SIGTERM lets calls finish that run; a second one, or Ctrl-C twice, ends them.

    [bold]Examples[/bold]

      penstock worker
      penstock worker --processes 4 --queue high --queue pool.gpu
      penstock --redis redis://db:6379/0 worker --warm text
    """
    from penstock_broker_config.queues import queue_name
    from penstock_workers.service import run_worker

    settings = settings_of(
        context,
        processes=processes,
        queues=tuple(queue_name(queue) for queue in queues) if queues else None,
        warm=tuple(warm) if warm else None,
    )
    return run_worker(
        settings,
        name=name,
        pool=pool,
        heartbeat_file=heartbeat_file,
        log_level=log_level,
        log_json=log_json,
    )


def scheduler(
    context: typer.Context,
    heartbeat_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Touched every half second while the scheduler is well."),
    ] = None,
    log_level: LogLevel = "INFO",
    log_json: LogJson = False,
) -> int:
    """Look after what is open: rings again what nobody claimed, ends what has expired.

    Run at least one; any number share the work.

    [bold]Example[/bold]

      penstock scheduler
    """
    from penstock_scheduler.service import run_scheduler

    return run_scheduler(
        settings_of(context), heartbeat_file=heartbeat_file, log_level=log_level, log_json=log_json
    )
