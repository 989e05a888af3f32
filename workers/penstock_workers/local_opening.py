"""Opens the plugin in a folder, or in a bundle at hand, for calls in this process: compiled, checked, linked.

The native code is kept in the host's cache like a worker's. The key of that cache is forgotten before the
first guest runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from penstock_plugins.bundle import Bundle, read_bundle
from penstock_plugins.errors import BundleError
from penstock_plugins.policy import OperatorPolicy, narrow
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool
from penstock_workers.artifacts.local import LocalArtifacts
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.engine import METERED, PLAIN
from penstock_workers.executor import Executor
from penstock_workers.guard import CallGuard
from penstock_workers.inspection import Inspection, look_at, unreadable
from penstock_workers.linking import PluginLinker
from penstock_workers.local import LocalExecutor
from penstock_workers.surroundings import RealSurroundings

if TYPE_CHECKING:
    from penstock_workers.log_sink import LogSink
    from penstock_workers.paths import SandboxPath
    from penstock_workers.plugin import WarmPlugin
    from penstock_workers.surroundings import Surroundings


def open_folder(
    folder: Path,
    *,
    cache_dir: Path,
    operator_policy: Callable[[str], OperatorPolicy],
    log_sink: LogSink | None,
    surroundings: Callable[[], Surroundings],
    sandbox_path: SandboxPath,
) -> LocalExecutor:
    """Read, compile, check and link the plugin in a folder. `Executor.local` says what it raises."""
    return open_bundle(
        read_bundle(folder),
        str(folder),
        cache_dir=cache_dir,
        operator_policy=operator_policy,
        log_sink=log_sink,
        surroundings=surroundings,
        sandbox_path=sandbox_path,
    )


def open_bundle(
    bundle: Bundle,
    where: str,
    *,
    cache_dir: Path,
    operator_policy: Callable[[str], OperatorPolicy],
    log_sink: LogSink | None = None,
    surroundings: Callable[[], Surroundings] = RealSurroundings,
    sandbox_path: SandboxPath = "auto",
    guard: CallGuard | None = None,
) -> LocalExecutor:
    """Compile, check and link a plugin whose files are at hand; `where` they came from is for messages."""
    fuel = narrow(bundle.manifest, operator_policy(bundle.manifest.name)).limits.fuel
    settings = PLAIN if fuel is None else METERED
    store = ArtifactStore(cache_dir / "artifacts")
    artifacts = LocalArtifacts(_OneBundle(bundle), store, settings_of=lambda _: settings)
    guard = guard or CallGuard()
    linker = PluginLinker(sandbox_path)
    found = Inspection(bundle=bundle)
    if (problem := unreadable(bundle)) is not None:
        raise BundleError(f"{where}: {problem}")
    try:
        opened = artifacts.open(bundle.digest)
    finally:
        artifacts.close()
        store.after_fork_child()
    with opened:
        engine = linker.engines.get(opened.settings)
        look_at(found, engine, opened.path, opened.settings, operator_policy(bundle.manifest.name), guard)
        if found.problems:
            raise BundleError(f"{where}: {'; '.join(map(str, found.problems))}")
        opened.record = found.record()
        plugin = linker.link(opened)
    executor = Executor(
        _OnePlugin(plugin),
        operator_policy=operator_policy,
        guard=guard,
        log_sink=log_sink,
        surroundings=surroundings,
    )
    return LocalExecutor(plugin, executor, guard)


class _OnePlugin:
    """The cache of a process that has one plugin."""

    def __init__(self, plugin: WarmPlugin) -> None:
        self._plugin = plugin

    def get(self, digest: str, *, metered: bool = False) -> WarmPlugin:
        """The plugin: it was linked for the engine that its limits need."""
        return self._plugin


class _OneBundle:
    """The catalog of a folder that nobody published."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def publish(self, bundle: Bundle, tools: Sequence[Tool], *, imports: Sequence[str] = ()) -> PluginRecord:
        """Replace the bundle."""
        self._bundle = bundle
        return self.record(bundle.digest)

    def record(self, digest: str) -> PluginRecord:
        """What is known before the guest was asked: everything but its tools."""
        bundle = self._bundle
        return PluginRecord(digest=bundle.digest, manifest=bundle.manifest, tools=(), files=bundle.entries)

    def fetch(self, digest: str) -> Bundle:
        """The bundle."""
        return self._bundle

    def verified_record(self, digest: str) -> PluginRecord:
        """The same: its manifest is the bundle's."""
        return self.record(digest)

    def records(self) -> list[PluginRecord]:
        """The one record."""
        return [self.record(self._bundle.digest)]

    def version(self) -> int:
        """It never changes."""
        return 0
