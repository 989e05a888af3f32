"""Links the plugins of a process: with which engine, with or without a pool, and on which path."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from penstock_plugins.errors import ToolNotReadyError
from penstock_workers.engine import Engines, EngineSettings
from penstock_workers.plugin import link
from penstock_workers.pool import Pool

if TYPE_CHECKING:
    from wasmtime import Engine

    from penstock_workers.artifacts.source import OpenedArtifact
    from penstock_workers.known import KnownPlugins
    from penstock_workers.paths import SandboxPath
    from penstock_workers.plugin import WarmPlugin

logger = logging.getLogger(__name__)


class PluginLinker:
    """Links plugins with engines that are made when the first plugin needs them. After the fork, that is."""

    def __init__(
        self,
        path: SandboxPath = "auto",
        *,
        pool: Pool | None = Pool(),  # noqa: B008
        known: KnownPlugins | None = None,
    ) -> None:
        """
        Args:
            path: how calls reach wasmtime.
            pool: where instances come from, on the lean path. None: each from the kernel.
            known: plugins whose tools need not be made.
        """
        self._path = path
        self._pool = pool
        self._known = known or {}
        #: The engines of this process.
        self.engines = Engines()
        self._pooled: dict[EngineSettings, Engine | None] = {}

    def link(self, opened: OpenedArtifact) -> WarmPlugin:
        """Link native code that was authenticated; the caller closes it. Raises as `plugin.link` does."""
        settings = opened.settings
        known = self._known.get(opened.record.digest)
        tools = known.tools if known is not None else None
        pooled = self._pooled_engine(settings)
        if (
            self._pool is not None
            and pooled is not None
            and self._pool.holds(opened.record.manifest.limits())
        ):
            try:
                return link(pooled, opened, settings, path=self._path, tools=tools)
            except ToolNotReadyError as error:
                # It needs more than the pool has, or does not load at all: the other engine will say so.
                logger.info(
                    "%s does not fit into the pool: %s",
                    opened.record.name,
                    error.message,
                    extra={"action": "pool.refused", "plugin": opened.record.name},
                )
        return link(self.engines.get(settings), opened, settings, path=self._path, tools=tools)

    def _pooled_engine(self, settings: EngineSettings) -> Engine | None:
        """The engine with a pool, if there is to be one and this process may have it."""
        # Imported here: it loads wasmtime.
        from penstock_workers.paths import takes_lean_path

        if settings not in self._pooled:
            self._pooled[settings] = None
            if self._pool is not None and takes_lean_path(self._path):
                if self._pool.can_be_had():
                    self._pooled[settings] = self.engines.get(settings, pool=self._pool)
                else:
                    logger.warning(
                        "Calls take longer without a pool: this process may not reserve %d GiB of addresses",
                        self._pool.address_bytes >> 30,
                        extra={"action": "pool.missing"},
                    )
        return self._pooled[settings]
