"""The plugins that this process has warm: loaded and linked, the ones used last, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock_plugins.limits import MIB
from penstock_workers.artifacts.source import ArtifactSource, OpenedArtifact
from penstock_workers.engine import METERED
from penstock_workers.linking import PluginLinker

if TYPE_CHECKING:
    from penstock_workers.plugin import WarmPlugin

_Key = tuple[str, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheCounters:
    """What a cache did since it was made."""

    #: Somebody compiled because of a `get` here.
    compiles: int = 0
    #: Native code was loaded and linked.
    loads: int = 0
    #: The plugin was there.
    hits: int = 0
    #: A plugin was let go to make room.
    evictions: int = 0


class WarmCache:
    """Linked plugins by digest, of one process. Evicts the one that was not used for longest."""

    def __init__(
        self,
        source: ArtifactSource,
        *,
        max_bytes: int = 512 * MIB,
        link: Callable[[OpenedArtifact], WarmPlugin] | None = None,
    ) -> None:
        """
        Args:
            source: Where native code comes from.
            max_bytes: Of native code that is kept. What is pinned, and what is asked for, is kept beyond it.
            link: Makes a plugin of native code. None: `PluginLinker` does.
        """
        self._source = source
        self._max_bytes = max_bytes
        self._link = link or PluginLinker().link
        # Two threads that ask at the same time would load twice.
        self._lock = threading.Lock()
        self._warm: OrderedDict[_Key, tuple[WarmPlugin, int]] = OrderedDict()
        self._bytes = 0
        self._pinned: set[str] = set()
        #: Digests that the source prepares for engines that count instructions.
        self._metered: set[str] = set()
        self._counters = CacheCounters()

    @property
    def counters(self) -> CacheCounters:
        """What it did so far."""
        return self._counters

    @property
    def size_bytes(self) -> int:
        """Bytes of native code that it holds."""
        return self._bytes

    @property
    def digests(self) -> tuple[str, ...]:
        """What it holds, the one used last at the end."""
        return tuple(digest for digest, _ in self._warm)

    def get(self, digest: str, *, metered: bool = False) -> WarmPlugin:
        """The plugin with this digest.

        Args:
            digest: Of its bundle.
            metered: Instructions must be counted. False: as the source prepares this plugin.

        Raises:
            CatalogError: no such bundle, or its bytes are not what its digest says.
            ArtifactError: its native code cannot be had.
            ToolError: it does not load, or may not be linked.
        """
        with self._lock:
            key = (digest, metered or digest in self._metered)
            found = self._warm.get(key)
            if found is not None:
                self._warm.move_to_end(key)
                self._counters = replace(self._counters, hits=self._counters.hits + 1)
                return found[0]
            return self._load(key)

    def pin(self, digests: Iterable[str]) -> None:
        """Keep these once they are loaded, and no longer the ones that were pinned before."""
        with self._lock:
            self._pinned = set(digests)
            self._make_room()

    def adopt(self, plugin: WarmPlugin) -> None:
        """Hold a plugin that was loaded before, with the settings that the source prepares it for."""
        with self._lock:
            digest = plugin.record.digest
            if plugin.metered:
                self._metered.add(digest)
            self._warm[digest, plugin.metered] = (plugin, plugin.size_bytes)
            self._bytes += plugin.size_bytes
            self._make_room()

    def _load(self, key: _Key) -> WarmPlugin:
        digest, metered = key
        with self._source.open(digest, METERED if metered else None) as opened:
            plugin = self._link(opened)  # the mapping outlives the descriptor
            size_bytes = opened.size_bytes
            if opened.settings.fuel and not metered:
                self._metered.add(digest)
            self._warm[digest, opened.settings.fuel] = (plugin, size_bytes)
            self._bytes += size_bytes
            self._counters = replace(
                self._counters,
                loads=self._counters.loads + 1,
                compiles=self._counters.compiles + opened.compiled,
            )
        self._make_room()
        return plugin

    def _make_room(self) -> None:
        """Let go of the oldest; not of the newest, which somebody is about to use.

        Nothing is closed: a call may still hold the plugin. Its memory goes with the last reference.
        """
        for key in list(self._warm)[:-1]:
            if self._bytes <= self._max_bytes:
                return
            if key[0] not in self._pinned:
                _, size_bytes = self._warm.pop(key)
                self._bytes -= size_bytes
                self._counters = replace(self._counters, evictions=self._counters.evictions + 1)
