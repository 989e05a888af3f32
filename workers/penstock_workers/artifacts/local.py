"""Native code for a process that runs calls itself, with no worker around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock_plugins.limits import MIB
from penstock_workers.artifacts.compiler import CompileLimits
from penstock_workers.artifacts.shelf import Shelf, metered_when_asked
from penstock_workers.artifacts.source import OpenedArtifact
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.engine import EngineSettings

if TYPE_CHECKING:
    from penstock_plugins.catalog import Catalog
    from penstock_plugins.record import PluginRecord


class LocalArtifacts:
    """The `ArtifactSource` of one process; it compiles in a process of its own all the same."""

    def __init__(
        self,
        catalog: Catalog,
        store: ArtifactStore,
        *,
        settings_of: Callable[[PluginRecord], EngineSettings] = metered_when_asked,
        limits: CompileLimits | None = None,
        max_bytes: int = 512 * MIB,
    ) -> None:
        self._shelf = Shelf(catalog, store, settings_of=settings_of, limits=limits, max_bytes=max_bytes)

    def open(self, digest: str, settings: EngineSettings | None = None) -> OpenedArtifact:
        """The native code of this bundle; the caller closes it.

        Args:
            digest: Of the bundle.
            settings: Of the engine that is to run it. None: what suits this plugin.

        Raises:
            CatalogError: no such bundle, or its bytes are not what its digest says.
            ArtifactError: it could not be compiled or kept.
        """
        return self._shelf.take(digest, settings)

    def close(self) -> None:
        """Give back the memory that is kept at hand."""
        self._shelf.close()
