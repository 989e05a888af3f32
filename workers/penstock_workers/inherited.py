"""Plugins that pool processes inherit: loaded and linked once in the worker's parent, before it forks.

A pool process then shares wasmtime's tables and all that linking made with the others. Loading maps native
code that was compiled and checked before. Nothing is compiled here, no guest runs, no store is made and no
epoch is counted: those need threads, and no thread survives a fork. That none came is looked at, not hoped
for; should one come, all is dropped, and each pool process loads for itself.
"""

from __future__ import annotations

import faulthandler
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from penstock_plugins.errors import PenstockError
from penstock_workers.engine import engines_made

if TYPE_CHECKING:
    from penstock_workers.artifacts.server import ArtifactServer
    from penstock_workers.known import KnownPlugins
    from penstock_workers.linking import PluginLinker
    from penstock_workers.paths import SandboxPath
    from penstock_workers.plugin import WarmPlugin

logger = logging.getLogger(__name__)


class InheritedPlugins:
    """What the parent loaded. Belongs to the parent; each pool process has a copy, and runs calls with it."""

    def __init__(self) -> None:
        #: Engines made here, which a pool process may find when it starts. Any other is somebody else's.
        self.engines = 0
        #: Made the plugins, and has their engines. None: nothing was loaded.
        self.linker: PluginLinker | None = None
        self._plugins: dict[str, WarmPlugin] = {}
        #: What the parent could still lend when it forked: what was removed is not served to new processes.
        self._at_hand: frozenset[str] = frozenset()

    def load(
        self,
        digests: Iterable[str],
        artifacts: ArtifactServer,
        *,
        path: SandboxPath = "auto",
        known: KnownPlugins | None = None,
    ) -> None:
        """Load and link these, where that is safe before a fork. Once, and before the first fork.

        What cannot be loaded is left to the pool processes, which say why. Only on the lean path.

        Args:
            digests: of what is warm.
            artifacts: lends native code that was checked.
            path: how calls are to reach wasmtime.
            known: plugins whose tools need not be made.
        """
        from penstock_workers.linking import PluginLinker
        from penstock_workers.paths import lean_problem

        # Somebody else's engine: the pool processes will refuse it, and it may have threads.
        if self.linker is not None or engines_made() or path == "public" or lean_problem() is not None:
            return
        # Must stand before the first engine: enabled later, it turns a guest's trap into a crash.
        if not faulthandler.is_enabled():
            faulthandler.enable()
        before = _what_no_fork_may_see()
        self.linker = PluginLinker(path, known=known)
        try:
            for digest in digests:
                self._load(digest, artifacts, self.linker)
        except Exception as error:  # noqa: BLE001 - whatever it is: each process can load for itself
            reason = f"{type(error).__name__}: {error}"
        else:
            came = _what_no_fork_may_see() - before
            reason = f"there is now {', '.join(sorted(came))}" if came else ""
        self.engines = engines_made()
        if reason:
            logger.warning(
                "Pool processes take more memory: each loads its plugins for itself, since after loading "
                "them before the fork %s",
                reason,
                extra={"action": "inherit.refused", "reason": reason},
            )
            self.close()
            return
        logger.info(
            "Loaded before the fork, for all pool processes: %d plugins",
            len(self._plugins),
            extra={"action": "inherit", "digests": sorted(self._plugins)},
        )

    def before_fork(self, artifacts: ArtifactServer) -> None:
        """In the parent, before each fork: note what may still be served."""
        self._at_hand = artifacts.digests() if self._plugins else frozenset()

    def get(self, digest: str) -> WarmPlugin | None:
        """The plugin with this digest, if the parent has loaded it and could still lend it at the fork."""
        return self._plugins.get(digest) if digest in self._at_hand else None

    def hand_over(self) -> None:
        """In a pool process, once its cache has them: let go, so that what the cache drops is gone."""
        self._plugins = {}

    def close(self) -> None:
        """Let go of everything. `engines` stays: they were made."""
        plugins, self._plugins, self.linker = self._plugins, {}, None
        for plugin in plugins.values():
            plugin.close()

    def _load(self, digest: str, artifacts: ArtifactServer, linker: PluginLinker) -> None:
        if digest not in artifacts.digests():
            return  # it would be compiled, or read from the disk, and the worker would wait
        try:
            with artifacts.open(digest) as opened:
                plugin = linker.link(opened)  # the mapping outlives the descriptor
        except PenstockError as error:
            logger.debug("%s is left to the pool processes: %s", digest, error)
            return
        if plugin.uses_wasi:
            plugin.close()
        else:
            self._plugins[digest] = plugin


def _what_no_fork_may_see() -> frozenset[str]:
    """Threads of this process, which a fork loses, and memory that both sides could write to after it."""
    threads = {f"thread {entry.name}" for entry in Path("/proc/self/task").iterdir()}
    maps = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines())
    shared = {
        f"shared memory at {fields[0]}" for fields in maps if fields[1].startswith("rw") and "s" in fields[1]
    }
    return frozenset(threads | shared)
