"""The tools of some plugin folders, called in this process: what `penstock pipeline … --local` works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer

from penstock_plugins.bundle import read_bundle
from penstock_plugins.composites import composite_tools, composites_in
from penstock_plugins.errors import BundleError
from penstock_plugins.index import ToolIndex
from penstock_plugins.record import PluginRecord
from penstock_plugins.result import ToolResult
from penstock_plugins.tool import Traits

if TYPE_CHECKING:
    from penstock_broker_config.settings import Settings
    from penstock_plugins.bundle import Bundle
    from penstock_workers.local import LocalExecutor


class LocalTools:
    """The plugins of these folders, compiled and linked; composite tools among them count as well.

    Args:
        settings: what the operator allows, and where native code is kept.
        folders: of plugins.

    Raises:
        typer.BadParameter: one is no folder.
        BundleError: a plugin cannot be used.
    """

    def __init__(self, settings: Settings, folders: Sequence[Path]) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise typer.BadParameter(f"{folder}: no such folder", param_hint="--local")
        self._stack = ExitStack()
        self._executors: dict[str, LocalExecutor] = {}
        records: list[PluginRecord] = []
        try:
            for folder in folders:
                bundle = read_bundle(folder)
                records.append(
                    _composites(bundle, folder) if bundle.manifest.composite else self._open(settings, folder)
                )
        except BaseException:
            self._stack.close()
            raise
        self.index = ToolIndex(records, advice="Name its plugin's folder with --local, too")

    def call(self, digest: str, tool: str, params: Mapping[str, Any]) -> ToolResult:
        """Call a tool by its plugin's digest and its full name. Its failure is a result."""
        return self._executors[digest].run(tool, params)

    def _open(self, settings: Settings, folder: Path) -> PluginRecord:
        from penstock.cli.trial import SilentSink
        from penstock_workers import Executor  # needs wasmtime

        executor = self._stack.enter_context(
            Executor.local(
                folder,
                cache_dir=settings.cache_dir,
                operator_policy=settings.operator_policy,
                log_sink=SilentSink(),
                sandbox_path=settings.sandbox_path,
            )
        )
        self._executors[executor.record.digest] = executor
        return executor.record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()


def _composites(bundle: Bundle, folder: Path) -> PluginRecord:
    pipelines, problems = composites_in(bundle)
    if problems:
        raise BundleError(f"{folder}: {'; '.join(problems)}")
    return PluginRecord(
        digest=bundle.digest,
        manifest=bundle.manifest,
        tools=tuple(composite_tools(bundle, pipelines, lambda _: Traits())),
        files=bundle.entries,
        pipelines={name: pipeline.to_dict() for name, pipeline in pipelines.items()},
    )
