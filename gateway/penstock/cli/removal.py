"""`penstock plugin remove` and `gc`: taking plugins out of the catalog, and collecting what is left."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from penstock.cli.console import NAME, NUMBER, QUIET, WARN, out, print_json, safe, say_note
from penstock.cli.options import AsJson, flag
from penstock.cli.session import settings_of
from penstock.cli.words import counted


def add_to(group: typer.Typer) -> None:
    """Add these commands to `penstock plugin`."""
    group.command()(remove)
    group.command()(gc)


def remove(
    context: typer.Context,
    plugin: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The release to remove.")],
    force: Annotated[
        bool, flag("--force", help="Also with open jobs: their calls fail, and its files go at once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a release from the catalog: it can no longer be called. Refused while open jobs refer to it.

    Its files stay as long as dead letters refer to it, and for an hour; then schedulers collect them.

    [bold]Example[/bold]

      penstock plugin remove text@1.0.0
    """
    from penstock_broker_config.removal import Removal
    from penstock_broker_config.store import connect_store

    name, at, version = plugin.partition("@")
    if not (name and at and version):
        raise typer.BadParameter(f"{plugin}: say which release, as NAME@VERSION (see `penstock plugin list`)")
    settings = settings_of(context)
    with connect_store(settings) as client:
        references = Removal(client, settings.keys).remove(name, version, force=force)
    jobs = sum(len(ids) for ids in references.jobs.values())
    letters = references.letters.total()
    if as_json:
        print_json({"removed": plugin, "open_jobs": jobs, "dead_letters": letters, "files_kept": not force})
        return
    out().print(Text.assemble(("Removed ", WARN), (safe(plugin), NAME)))
    if force and jobs:
        say_note(f"Calls of {counted(jobs, 'open job')} will end TOOL_NOT_READY.")
    elif letters and not force:
        say_note(f"Its files stay for {counted(letters, 'dead letter')}: replay, export or drop them.")


def gc(
    context: typer.Context,
    dry_run: Annotated[bool, flag("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Collect what nothing refers to: files of removed plugins, native code and costs of what is gone.

    Schedulers do it by themselves every ten minutes; this also looks for files of no plugin at all.

    [bold]Example[/bold]

      penstock plugin gc --dry-run
    """
    from penstock_broker_config.collector import Collector
    from penstock_broker_config.store import connect_store

    settings = settings_of(context)
    with connect_store(settings) as client:
        collected = Collector(client, settings.keys).collect(dry_run=dry_run, scan=True)
    if as_json:
        print_json({**asdict(collected), "dry_run": dry_run})
        return
    what = "Would collect" if dry_run else "Collected"
    for label in collected.plugins:
        out().print(Text.assemble((f"{what} ", WARN), (safe(label), NAME)))
    for label in collected.kept:
        out().print(
            Text.assemble(("Kept ", QUIET), (safe(label), NAME), ("  in use, or just removed", QUIET))
        )
    counts = (
        counted(collected.stray_files, "stray file"),
        counted(collected.artifacts, "artifact"),
        counted(collected.costs, "cost"),
    )
    out().print(Text.assemble((f"{what} ", QUIET), (", ".join(counts), NUMBER)))
