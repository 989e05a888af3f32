"""`penstock plugin new`, `build`, `test` and `wrap`: what an author does before `check` and `publish`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.text import Text

from penstock.cli.console import BAD, GOOD, NAME, QUIET, err, out, print_json, safe, say_error, say_note
from penstock.cli.exits import FAILED, OK, explain
from penstock.cli.options import AsJson, flag
from penstock.cli.session import settings_of
from penstock.cli.words import counted, size, span

if TYPE_CHECKING:
    from penstock_workers.toolchain.example_calls import Comparison

_WATCH_S = 0.5
_Folder = Annotated[Path, typer.Argument(metavar="[DIR]", help="Plugin folder.", show_default="here")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to `penstock plugin`."""
    group.command()(new)
    group.command()(build)
    group.command("test")(run_tests)
    group.command()(wrap)


def new(
    name: Annotated[str, typer.Argument(help="Of the plugin: lower-case letters, digits, - and _.")],
    lang: Annotated[Literal["c", "js", "python"], typer.Option(metavar="LANG", help="c, js or python.")],
    into: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder to make; ./NAME.")] = None,
    batch: Annotated[
        bool, flag("--batch", help="With a batch entry point: calls of one batch may share an instance.")
    ] = False,
    libc: Annotated[
        Literal["none", "wasi"],
        typer.Option(metavar="LIBC", help="C library of a plugin in C: none or wasi (stdio, malloc, math)."),
    ] = "none",
) -> None:
    """Write a small project that builds, checks and tests as it stands.

    [bold]Example[/bold]

      penstock plugin new greeter --lang python
    """
    from penstock_workers.toolchain.new_project import new_plugin  # the toolchain needs wasmtime

    folder = into or Path(name)
    for file in new_plugin(name, lang, folder, batch=batch, libc=libc):
        out().print(Text.assemble((f"{folder}/", QUIET), str(file.relative_to(folder))))
    there = shlex.quote(str(folder))
    say_note(f"Next: cd {there} && penstock plugin build && penstock plugin check && penstock plugin test")


def build(
    folder: _Folder = Path(),
    watch: Annotated[bool, flag("--watch", help="Build again whenever a source changes.")] = False,
    packed: Annotated[
        bool, flag("--packed", help="Write the artifact compressed, as plugin.wasm.xz.")
    ] = False,
) -> int:
    """Build a plugin from its sources. The toolchain is installed into a private cache when it is missing.

    [bold]Example[/bold]

      penstock plugin build ./greeter --watch
    """
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder}: no such folder")
    if not watch:
        _build(folder, packed=packed)
        return OK
    from penstock_workers.toolchain.watching import changes  # the toolchain needs wasmtime

    say_note(f"Watching {folder.resolve()}; Ctrl-C ends it.")
    for _ in changes(folder, pause=lambda: time.sleep(_WATCH_S)):
        try:
            _build(folder, packed=packed)
        except Exception as error:  # noqa: BLE001 -- its author mends it, and we go on
            say_error(explain(error)[0])
    return OK


def run_tests(context: typer.Context, folder: _Folder = Path(), as_json: AsJson = False) -> int:
    r"""Run a plugin's examples in the sandbox: each call must give what is written there.

    They are tables \[\[example]] in plugin.toml or in examples.toml.

    [bold]Example[/bold]

      penstock plugin test ./greeter
    """
    from penstock.cli.trial import SilentSink
    from penstock_workers import Executor  # runs guests: needs wasmtime
    from penstock_workers.toolchain.built_from import stale
    from penstock_workers.toolchain.example_calls import EXAMPLES_NAME, read_examples, run_examples

    if not folder.is_dir():
        raise typer.BadParameter(f"{folder}: no such folder")
    examples = read_examples(folder)
    if not examples:
        raise typer.BadParameter(
            f"{folder}: no [[example]] in plugin.toml or {EXAMPLES_NAME}: there is nothing to test"
        )
    if warning := stale(folder):
        say_note(f"! {warning}")
    settings = settings_of(context)
    with Executor.local(
        folder,
        cache_dir=settings.cache_dir,
        operator_policy=settings.operator_policy,
        log_sink=SilentSink(),
        sandbox_path=settings.sandbox_path,
    ) as executor:
        comparisons = list(run_examples(examples, executor))
    if as_json:
        print_json([_shape(comparison) for comparison in comparisons])
    else:
        _show(comparisons)
    return FAILED if any(comparison.difference for comparison in comparisons) else OK


def wrap(
    core: Annotated[Path, typer.Argument(metavar="CORE.WASM", help="Core module: of either ABI.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Component to write.")
    ] = Path("plugin.wasm"),
    name: Annotated[str, typer.Option(help="What the plugin is called, where the module says another.")] = "",
    version: Annotated[str, typer.Option(help="Its version, likewise.")] = "",
) -> None:
    """Make a component of a core module, whatever compiled it.

    The module speaks the canonical ABI of the world grain-plugin, or the plain one: exports such as
    plugin_name and plugin_tool_execute, with addresses of NUL-terminated texts, and no imports.

    [bold]Example[/bold]

      penstock plugin wrap core.wasm -o plugin.wasm
    """
    from penstock_plugins.errors import BuildError
    from penstock_workers.toolchain.core_abi import ask_core_module, has_core_abi, wrap_core_abi
    from penstock_workers.toolchain.sources import write_artifact  # the toolchain needs wasmtime
    from penstock_workers.toolchain.wrap import check_compiles, wrap_core_module

    try:
        module = core.read_bytes()
    except OSError as error:
        raise BuildError(f"Failed to read {core}: {error.strerror}") from error
    check_compiles(module)
    if not has_core_abi(module):
        if name or version:
            raise typer.BadParameter("--name and --version are for modules with the plain ABI")
        _say_built(write_artifact(output, wrap_core_module(module)))
        return
    own = ask_core_module(module)
    component = wrap_core_abi(module, own.called(name=name, version=version))
    _say_built(write_artifact(output, component))
    tools = ", ".join(own.tools) or "none"
    manifest = f'name = "{name or own.name}", version = "{version or own.version}"'
    say_note(safe(f"plugin.toml must say {manifest}. Tools: {tools}"))


def _build(folder: Path, *, packed: bool) -> None:
    from penstock_workers.toolchain.build import build_plugin  # the toolchain needs wasmtime

    begun = time.monotonic()
    with _spinning(f"Building {folder.resolve().name}") as say:
        artifact = build_plugin(folder, packed=packed, say=say)
    _say_built(artifact, time.monotonic() - begun)


def _say_built(artifact: Path, took_s: float | None = None) -> None:
    took = "" if took_s is None else f"  {span(took_s)}"
    out().print(Text.assemble((str(artifact), NAME), f"  {size(artifact.stat().st_size)}", (took, QUIET)))


@contextmanager
def _spinning(text: str) -> Iterator[Any]:
    """A spinner on a terminal; elsewhere a line for each thing that takes long."""
    if not err().is_terminal:
        yield say_note
        return
    with err().status(Text(text, style=QUIET)) as status:
        yield lambda line: status.update(Text(line, style=QUIET))


def _shape(comparison: Comparison) -> dict[str, Any]:
    return {
        "tool": comparison.example.tool,
        "params": comparison.example.params,
        "ok": not comparison.difference,
        "difference": comparison.difference,
        "result": comparison.result.to_dict(),
    }


def _show(comparisons: list[Comparison]) -> None:
    failed = sum(1 for comparison in comparisons if comparison.difference)
    for number, comparison in enumerate(comparisons, start=1):
        mark = ("✘ ", BAD) if comparison.difference else ("✔ ", GOOD)
        took = span(comparison.result.metadata.execution_ms / 1000)
        out().print(Text.assemble(mark, f"{number} ", (comparison.example.tool, NAME), (f"  {took}", QUIET)))
        if comparison.difference:
            out().print(Text(f"    {safe(comparison.difference)}"))
    passed = counted(len(comparisons) - failed, "example")
    out().print(Text(f"{passed} as expected, {failed} not", BAD if failed else GOOD))
