"""Executes calls: checks the params, runs the guest in its sandbox, reads what came back.

The same in a worker's pool process and in a program of its own; no broker, no queue and no ledger here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import orjson

from penstock_plugins.errors import (
    CatalogError,
    CompileError,
    OutputTooLargeError,
    ParamsError,
    PermissionDeniedError,
    ToolError,
    ToolNotReadyError,
    ToolTimeoutError,
)
from penstock_plugins.policy import OperatorPolicy, narrow
from penstock_plugins.result import ToolFailure
from penstock_workers.content import read_content
from penstock_workers.guard import CallGuard
from penstock_workers.host import CallNotes
from penstock_workers.log_sink import LoggerSink, LogSink
from penstock_workers.outcome import Outcome
from penstock_workers.surroundings import RealSurroundings, Surroundings

if TYPE_CHECKING:
    from penstock_plugins.limits import Limits
    from penstock_workers.local import LocalExecutor
    from penstock_workers.paths import SandboxPath
    from penstock_workers.plugin import WarmPlugin, WarmTool
    from penstock_workers.sandbox import Sandbox


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

        from penstock_workers.local import open_folder

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
        grants = narrow(plugin.manifest, self._operator_policy(plugin.name), timeout_s=timeout_s)
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
        )

    def _plugin(self, digest: str, *, metered: bool) -> WarmPlugin:
        try:
            return self._plugins.get(digest, metered=metered)
        except (CatalogError, CompileError) as error:
            raise ToolNotReadyError(error.message, {"plugin_digest": digest}) from error


class PreparedTool:
    """One tool, ready for any number of calls."""

    __slots__ = ("_limits", "_name", "_new_notes", "_plugin", "_sandbox", "_schema")

    def __init__(
        self,
        plugin: WarmPlugin,
        tool: WarmTool,
        sandbox: Sandbox,
        *,
        new_notes: Callable[[], CallNotes],
        limits: Limits,
    ) -> None:
        #: Kept alive, whatever the cache evicts meanwhile.
        self._plugin = plugin
        self._name = tool.tool.name.encode()
        self._schema = tool.schema
        self._sandbox = sandbox
        self._new_notes = new_notes
        self._limits = limits

    def invoke(self, params_json: str | bytes, *, token: str, timeout_s: float | None = None) -> Outcome:
        """Run one call to its end; whatever goes wrong with it is in the outcome.

        Args:
            params_json: the params as JSON text.
            token: what `CallGuard.cancel` knows this call by.
            timeout_s: the time that is left, when that may be less than the tool's own.
        """
        started_at = time.perf_counter()
        notes = self._new_notes()
        try:
            args_json = self._checked(params_json)
            content = self._answer(args_json, notes, token, timeout_s)
        except ToolError as error:
            content = ToolFailure.from_exception(error)
        if notes.interruption is not None:
            raise notes.interruption
        took_s = time.perf_counter() - started_at
        metadata = notes.metadata()
        metadata["execution_ms"] = round(took_s * 1000, 3)
        if isinstance(content, ToolFailure):
            return Outcome(failure=content, metadata=metadata, execution_s=took_s)
        return Outcome(content=content, metadata=metadata, execution_s=took_s)

    def _checked(self, params_json: str | bytes) -> bytes:
        """The params as the guest gets them: what was checked, and nothing else.

        They are written anew, because a text with the same key twice means one thing to our parser and
        perhaps another to the guest's.

        Raises:
            ParamsError: they are too large, no JSON, or not what the schema says.
        """
        raw = params_json.encode() if isinstance(params_json, str) else params_json
        limit = self._limits.params_bytes
        if len(raw) > limit:
            raise _refused(f"The params have {len(raw)} bytes; at most {limit} are allowed")
        try:
            params = orjson.loads(raw)
            rewritten = orjson.dumps(params)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
            raise _refused(f"The params are not JSON: {error}") from None
        self._schema.check(params)
        return rewritten

    def _answer(
        self, args_json: bytes, notes: CallNotes, token: str, timeout_s: float | None
    ) -> bytes | ToolFailure:
        limit_s = self._limits.timeout_s
        if timeout_s is not None and timeout_s < limit_s:
            limit_s = timeout_s
        if limit_s <= 0:
            raise ToolTimeoutError("There was no time left for the call")
        answer = self._sandbox.call(self._name, args_json, notes, token=token, timeout_s=limit_s)
        if isinstance(answer, ToolFailure):
            return answer
        if answer.size_bytes > self._limits.output_bytes:
            raise OutputTooLargeError(
                f"The guest's output has {answer.size_bytes} bytes;"
                f" at most {self._limits.output_bytes} are allowed"
            )
        return read_content(answer.content, is_error=answer.is_error)


def _refused(message: str) -> ParamsError:
    return ParamsError(message, {"errors": [{"path": "$", "message": message}]})
