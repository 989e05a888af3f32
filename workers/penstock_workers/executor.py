"""Executes calls: from a plugin's digest and a tool's name to a tool that is ready to be called.

The same in a worker's pool process and in a program of its own; no broker, no queue and no ledger here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from penstock_plugins.errors import (
    CatalogError,
    CompileError,
    PermissionDeniedError,
    ToolNotReadyError,
)
from penstock_plugins.policy import OperatorPolicy, narrow
from penstock_workers.guard import CallGuard
from penstock_workers.host import CallNotes
from penstock_workers.log_sink import LoggerSink, LogSink
from penstock_workers.prepared import PreparedTool
from penstock_workers.surroundings import RealSurroundings, Surroundings
from penstock_workers.together import may_run_together

if TYPE_CHECKING:
    from penstock_workers.local import LocalExecutor
    from penstock_workers.paths import SandboxPath
    from penstock_workers.plugin import WarmPlugin

__all__ = ["Executor", "PreparedTool", "WarmPlugins"]


class WarmPlugins(Protocol):
    """Where linked plugins come from: the cache of this process."""

    def get(self, digest: str, *, metered: bool = False) -> WarmPlugin:
        """The plugin with this digest, for an engine that counts instructions or one that does not."""
        ...


class Executor:
    """Runs calls in this process, one at a time."""

    def __init__(
        self,
        plugins: WarmPlugins,
        *,
        operator_policy: Callable[[str], OperatorPolicy],
        guard: CallGuard,
        log_sink: LogSink | None = None,
        surroundings: Callable[[], Surroundings] = RealSurroundings,
    ) -> None:
        """
        Args:
            plugins: linked plugins by digest.
            operator_policy: what the operator allows a plugin, by its name.
            guard: stops the call that runs.
            log_sink: takes the log lines of guests. None: Python's logging.
            surroundings: the clocks and random numbers of each call; a `Freeze` makes calls repeat.
        """
        self._plugins = plugins
        self._operator_policy = operator_policy
        self._guard = guard
        self._sink = log_sink or LoggerSink()
        self._surroundings = surroundings
        #: Digests whose calls are metered, as their first preparation found.
        self._metered: set[str] = set()

    @classmethod
    def local(
        cls,
        folder: Path | str,
        *,
        cache_dir: Path | None = None,
        operator_policy: Callable[[str], OperatorPolicy] = lambda _: OperatorPolicy(),
        log_sink: LogSink | None = None,
        surroundings: Callable[[], Surroundings] = RealSurroundings,
        sandbox_path: SandboxPath = "auto",
    ) -> LocalExecutor:
        """The tools of a plugin folder, to be called in this process.

        Args:
            folder: with `plugin.toml` and its artifact.
            cache_dir: where native code is kept. None: the user's cache folder.
            operator_policy: what the plugin is allowed, by its name.
            log_sink: takes the log lines of the guest. None: Python's logging.
            surroundings: see `__init__`.
            sandbox_path: the way into wasmtime.

        Raises:
            ManifestError: the manifest cannot be used.
            BundleError: the plugin cannot be used; says everything that is wrong with it.
            ArtifactError: it cannot be compiled.
        """
        # Imported here: a worker has no use for it.
        import platformdirs

        from penstock_workers.local_opening import open_folder

        return open_folder(
            Path(folder),
            cache_dir=cache_dir or Path(platformdirs.user_cache_dir("penstock")),
            operator_policy=operator_policy,
            log_sink=log_sink,
            surroundings=surroundings,
            sandbox_path=sandbox_path,
        )

    def prepare(self, digest: str, tool: str, *, timeout_s: float | None = None) -> PreparedTool:
        """What the calls of one batch have in common, worked out once.

        Args:
            digest: of the plugin's bundle.
            tool: its name inside the plugin.
            timeout_s: narrows the time of each call.

        Raises:
            ToolNotFoundError: the plugin has no such tool.
            PermissionDeniedError: it needs a capability to run at all, and does not have it.
            ToolNotReadyError: the plugin is not in the catalog, does not compile, or is none of ours.
            PenstockError: this host cannot get at it now; another time, or another host, may.
        """
        # Imported here: it loads wasmtime, which the parent of the pool processes does not need.
        from penstock_workers.sandbox import Sandbox

        plugin = self._plugin(digest, metered=digest in self._metered)
        warm = plugin.tool(tool)
        table = plugin.manifest.tool_table(tool)
        if table is not None and table.timeout_s is not None:
            timeout_s = table.timeout_s if timeout_s is None else min(timeout_s, table.timeout_s)
        operator = self._operator_policy(plugin.name)
        grants = narrow(plugin.manifest, operator, timeout_s=timeout_s)
        if grants.limits.fuel is not None and not plugin.metered:
            self._metered.add(digest)
            plugin = self._plugin(digest, metered=True)
        if plugin.uses_wasi and "wasi" not in grants.capabilities:
            raise PermissionDeniedError(
                f"{plugin.name} imports WASI, for which its manifest must ask and the operator must grant the"
                " capability `wasi`"
            )
        return PreparedTool(
            plugin,
            warm,
            Sandbox(plugin, grants.limits, self._guard),
            new_notes=lambda: CallNotes(grants, self._sink, self._surroundings()),
            limits=grants.limits,
            quiet_notes=(
                (lambda: CallNotes(grants, _NoSink(), self._surroundings()))
                if operator.batch_entry_point and may_run_together(plugin, warm.tool, grants)
                else None
            ),
        )

    def _plugin(self, digest: str, *, metered: bool) -> WarmPlugin:
        try:
            return self._plugins.get(digest, metered=metered)
        except (CatalogError, CompileError) as error:
            raise ToolNotReadyError(error.message, {"plugin_digest": digest}) from error


class _NoSink:
    """Log lines of a run that may have to be repeated go nowhere."""

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Drop the line."""
