"""`penstock plugin`: check a plugin folder, publish it, list plugins; `authoring` and `removal`: the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from penstock.cli.console import (
    NAME,
    QUIET,
    out,
    print_json,
    print_table,
    say_error,
    say_note,
)
from penstock.cli.exits import FAILED, OK, explain
from penstock.cli.options import AsJson, flag
from penstock.cli.plugin_pages import inspection_shape, record_shape, show_inspection, show_unusable
from penstock.cli.session import settings_of
from penstock.cli.system import open_catalog
from penstock.cli.words import size

if TYPE_CHECKING:
    from penstock.cli.trial import Trial
    from penstock_plugins.bundle import Bundle
    from penstock_plugins.index import ToolIndex
    from penstock_plugins.record import PluginRecord
    from penstock_workers.inspection import Inspection

app = typer.Typer(name="plugin", help="Make, check, publish, list and remove plugins.", no_args_is_help=True)


@app.command()
def check(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="[DIR]", help="Plugin folder: plugin.toml and its artifact.", show_default="here"
        ),
    ] = Path(),
    call: Annotated[
        bool, flag(help="Also call each tool once, with its first example's params or made-up ones.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Check a plugin as publishing would: imports, capabilities, schemas; and make a dry call of each tool.

    Nothing is published and nothing is connected to. Exit code 1 when something must be changed.

    [bold]Example[/bold]

      penstock plugin check ./my-plugin
    """
    from penstock_plugins.errors import BundleError, ManifestError

    _check_folder(folder)
    try:
        inspection = _inspect(context, folder)
    except (ManifestError, BundleError) as error:
        problems = error.problems if isinstance(error, ManifestError) else (str(error),)
        if as_json:
            print_json({"ok": False, "problems": [{"message": text, "advice": ""} for text in problems]})
        else:
            show_unusable(folder, problems)
        return FAILED
    from penstock_workers.toolchain.built_from import stale

    inspection.warnings += filter(None, [stale(folder)])
    trials = _try(context, folder, inspection) if call else {}
    if as_json:
        print_json(inspection_shape(inspection, trials))
    else:
        show_inspection(inspection, trials)
    return OK if inspection.ok else FAILED


@app.command()
def publish(
    context: typer.Context,
    folders: Annotated[list[Path] | None, typer.Argument(metavar="[DIR]...", help="Plugin folders.")] = None,
    shipped: Annotated[bool, flag("--shipped", help="Also the plugins that Penstock ships.")] = False,
    call: Annotated[
        bool, flag(help="Also make the dry calls of `check`; of shipped plugins none are.")
    ] = True,
    as_json: AsJson = False,
) -> int:
    """Publish plugins to the shared catalog. Workers take them up without a restart.

    Each is checked first, as `penstock plugin check` does it: exit code 1 when something must be changed. The
    same name and version can be published again only with the same content.

    [bold]Example[/bold]

      penstock plugin publish ./my-plugin
    """
    from penstock.shipped import shipped_folders
    from penstock_plugins.errors import BundleError, ManifestError

    chosen = [*(shipped_folders() if shipped else ()), *(folders or ())]
    if not chosen:
        raise typer.BadParameter("name a plugin folder, or say --shipped")
    for folder in chosen:
        _check_folder(folder)
    published: list[PluginRecord] = []
    code = OK
    for folder in chosen:
        try:
            published.append(_publish(context, folder, call=call))
        except (ManifestError, BundleError) as error:  # what `plugin check` says, with its exit code
            say_error(explain(error)[0])
            code = max(code, FAILED)
            continue
        except Exception as error:
            if len(chosen) == 1:
                raise
            text, failed = explain(error)  # one bad plugin does not keep the others out
            say_error(f"{folder}: {text}")
            code = max(code, failed)
            continue
        if not as_json:
            record = published[-1]
            tools = ", ".join(tool.name for tool in record.tools)
            digest = (record.digest[:12], QUIET)
            out().print(Text.assemble((record.name, NAME), f" {record.version}  {tools}  ", digest))
            out().file.flush()  # the next one may take long
    if as_json:
        print_json([record_shape(record) for record in published])
    return code


@app.command("list")
def list_plugins(context: typer.Context, as_json: AsJson = False) -> None:
    """List the plugins of the shared catalog.

    [bold]Example[/bold]

      penstock plugin list
    """
    with open_catalog(context) as catalog:
        records = catalog.records()
    if as_json:
        print_json([record_shape(record) for record in records])
    elif not records:
        say_note("No plugins yet: publish one with `penstock plugin publish DIR`.")
    else:
        print_table(
            ("plugin", "version", "size", "digest", "tools"),
            [
                (
                    Text(record.name, NAME),
                    record.version,
                    size(sum(file.size_bytes for file in record.files)),
                    record.digest[:12],
                    ", ".join(tool.name for tool in record.tools),
                )
                for record in records
            ],
            right=("size",),
        )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder}: no such folder")


def _inspect(context: typer.Context, folder: Path) -> Inspection:
    from penstock_plugins.bundle import read_bundle

    return _inspect_bundle(context, read_bundle(folder))


def _inspect_bundle(context: typer.Context, bundle: Bundle, others: ToolIndex | None = None) -> Inspection:
    from penstock_workers.artifacts.store import ArtifactStore
    from penstock_workers.inspection import inspect_plugin  # runs guests: needs wasmtime

    settings = settings_of(context)
    return inspect_plugin(
        bundle,
        operator_policy=settings.operator_policy,
        store=ArtifactStore(settings.cache_dir / "artifacts"),
        others=others,
    )


def _try(context: typer.Context, folder: Path, inspection: Inspection) -> dict[str, Trial]:
    """The dry calls, by tool; none where something is wrong already, and of composites."""
    if not inspection.ok or inspection.bundle.manifest.composite is not None:
        return {}
    from penstock.cli.trial import try_tools  # runs guests: needs wasmtime

    return try_tools(settings_of(context), folder, inspection)


def _publish(context: typer.Context, folder: Path, *, call: bool) -> PluginRecord:
    from penstock_plugins.bundle import read_bundle
    from penstock_plugins.errors import BundleError
    from penstock_plugins.index import ToolIndex
    from penstock_plugins.shipped import shipped_plugins
    from penstock_workers.toolchain.built_from import stale

    bundle = read_bundle(folder)
    if warning := stale(folder):
        say_note(f"! {warning}")
    with open_catalog(context) as catalog:
        records = catalog.records()
    known = [record for record in records if record.digest == bundle.digest]
    if known:  # it was checked when it was published
        return known[0]
    inspection = _inspect_bundle(context, bundle, ToolIndex(records))
    # Shipped plugins were called before they were shipped, some of them to see them fail.
    if call and folder.resolve().parent != shipped_plugins().resolve():
        _try(context, folder, inspection)
    if inspection.problems:
        raise BundleError("\n  ".join([f"{folder} was not published:", *map(str, inspection.problems)]))
    with open_catalog(context) as catalog:
        return catalog.publish(bundle, inspection.tools, imports=tuple(inspection.imports))
