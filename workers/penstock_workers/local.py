"""Calls of one plugin folder in this process: no broker, no catalog, the same execution.

The native code is kept in the host's cache like a worker's. The key of that cache is forgotten before the
first guest runs.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson

from penstock_plugins.bundle import Bundle, read_bundle
from penstock_plugins.errors import BundleError, ParamsError
from penstock_plugins.index import ResolvedTool, ToolIndex
from penstock_plugins.policy import OperatorPolicy, narrow
from penstock_plugins.record import PluginRecord
from penstock_plugins.result import ResultMetadata, ToolFailure, ToolResult
from penstock_plugins.tool import Tool
from penstock_workers.artifacts.local import LocalArtifacts
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.engine import METERED, PLAIN
from penstock_workers.executor import Executor
from penstock_workers.guard import CallGuard
from penstock_workers.inspection import Inspection, look_at, unreadable
from penstock_workers.linking import PluginLinker
from penstock_workers.surroundings import RealSurroundings

if TYPE_CHECKING:
    from types import TracebackType

    from penstock_workers.log_sink import LogSink
    from penstock_workers.outcome import Outcome
    from penstock_workers.paths import SandboxPath
    from penstock_workers.plugin import WarmPlugin
    from penstock_workers.prepared import PreparedTool
    from penstock_workers.surroundings import Surroundings


class LocalExecutor:
    """The tools of one folder. One call at a time."""

    def __init__(self, plugin: WarmPlugin, executor: Executor, guard: CallGuard) -> None:
        self._plugin = plugin
        self._executor = executor
        self._guard = guard
        self._index = ToolIndex([plugin.record])
        self._numbers = itertools.count(1)

    @property
    def tools(self) -> list[Tool]:
        """The plugin's tools, by full name."""
        return self._index.tools()

    @property
    def record(self) -> PluginRecord:
        """What a catalog would know of the plugin."""
        return self._plugin.record

    def tool(self, name: str) -> Tool:
        """A tool, by its full or its short name.

        Raises:
            ToolNotFoundError: there is none.
        """
        return self._index.resolve(name).tool

    def run(self, tool: str, params: Mapping[str, Any], *, timeout_s: float | None = None) -> ToolResult:
        """Call a tool. Its failure is a result, not an exception.

        Args:
            tool: its full or its short name.
            params: JSON values.
            timeout_s: narrows the tool's own time.

        Raises:
            ToolNotFoundError: there is no such tool.
            PermissionDeniedError: the plugin needs a capability that it does not have.
        """
        resolved = self._index.resolve(tool)
        prepared = self._executor.prepare(resolved.digest, resolved.tool.name, timeout_s=timeout_s)
        call_id = f"local.{next(self._numbers)}"
        try:
            params_json = orjson.dumps(params)
        except TypeError as error:
            failure = ToolFailure.from_exception(ParamsError(f"The params are not JSON: {error}"))
            return ToolResult(call_id=call_id, tool=resolved.tool.full_name, success=False, error=failure)
        return _result(call_id, resolved, prepared.invoke(params_json, token=call_id))

    def run_text(self, tool: str, params_json: bytes, *, timeout_s: float | None = None) -> ToolResult:
        """Call a tool with params as the text that travelled, whatever it is. See `run`."""
        resolved = self._index.resolve(tool)
        prepared = self._executor.prepare(resolved.digest, resolved.tool.name, timeout_s=timeout_s)
        call_id = f"local.{next(self._numbers)}"
        return _result(call_id, resolved, prepared.invoke(params_json, token=call_id))

    def run_many(
        self, tool: str, params: Sequence[Mapping[str, Any]], *, timeout_s: float | None = None
    ) -> list[ToolResult]:
        """Call a tool several times, by its batch entry point where it may be used. See `run`.

        Raises:
            ToolNotFoundError: there is no such tool.
            PermissionDeniedError: the plugin needs a capability that it does not have.
            TypeError: params are not JSON.
        """
        resolved = self._index.resolve(tool)
        prepared = self._executor.prepare(resolved.digest, resolved.tool.name, timeout_s=timeout_s)
        first = next(self._numbers)
        outcomes = prepared.invoke_many([orjson.dumps(p) for p in params], token=f"local.{first}")
        return [_result(f"local.{first}.{k}", resolved, outcome) for k, outcome in enumerate(outcomes)]

    def prepare(self, tool: str) -> PreparedTool:
        """A tool, ready for any number of calls while this is open. Raises as `run` does."""
        resolved = self._index.resolve(tool)
        return self._executor.prepare(resolved.digest, resolved.tool.name)

    def close(self) -> None:
        """Let go of the native code. Closing twice is fine."""
        self._guard.close()
        self._plugin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _result(call_id: str, resolved: ResolvedTool, outcome: Outcome) -> ToolResult:
    return ToolResult(
        call_id=call_id,
        tool=resolved.tool.full_name,
        success=outcome.success,
        data=None if outcome.content is None else orjson.loads(outcome.content),
        error=outcome.failure,
        metadata=ResultMetadata(
            **outcome.metadata, worker=f"local:{os.getpid()}", plugin_digest=resolved.digest
        ),
    )


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
