"""Checked native code that this process keeps at hand, in sealed memfds, each made by one thread only."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_plugins.catalog import entry_of
from penstock_plugins.errors import ArtifactError, CatalogError, CompileError
from penstock_plugins.limits import MIB
from penstock_workers.artifacts.compiler import CompileLimits, compile_wasm
from penstock_workers.artifacts.identity import ArtifactIdentity
from penstock_workers.artifacts.source import OpenedArtifact, Origin
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.engine import METERED, PLAIN, EngineSettings

if TYPE_CHECKING:
    from penstock_plugins.catalog import Catalog
    from penstock_plugins.record import PluginRecord

logger = logging.getLogger(__name__)

#: Seconds for which a plugin that does not compile is refused without trying again: a module made to use up
#: the limits must not keep a host compiling.
REFUSED_FOR_S = 60.0


def metered_when_asked(record: PluginRecord) -> EngineSettings:
    """Instructions are counted for plugins whose manifest limits fuel."""
    return PLAIN if record.manifest.limits().fuel is None else METERED


_Place = tuple[str, EngineSettings]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    fd: int
    size_bytes: int
    record: PluginRecord


class Shelf:
    """Native code by digest and engine settings; what is missing is fetched, and compiled if need be."""

    def __init__(
        self,
        catalog: Catalog,
        store: ArtifactStore,
        *,
        settings_of: Callable[[PluginRecord], EngineSettings] = metered_when_asked,
        limits: CompileLimits | None = None,
        max_bytes: int = 2048 * MIB,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._settings_of = settings_of
        self._limits = limits
        #: Of memory that is kept; what was not asked for longest goes first, and is read again when needed.
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Place, _Kept] = OrderedDict()
        #: What some thread is making; the others wait for it.
        self._making: dict[_Place, Future[None]] = {}
        #: The settings that each plugin is prepared for, unless others are asked for.
        self._own_settings: dict[str, EngineSettings] = {}
        #: Read to learn the settings, and used again at once.
        self._read: dict[str, PluginRecord] = {}
        self._refused: dict[_Place, tuple[str, float]] = {}

    def take(self, digest: str, settings: EngineSettings | None = None) -> OpenedArtifact:
        """The native code of this bundle; the caller closes it, the shelf keeps its own.

        Args:
            digest: Of the bundle.
            settings: Of the engine that is to run it. None: what suits this plugin.

        Raises:
            CatalogError: no such bundle, or its bytes are not what its digest says.
            ArtifactError: it could not be compiled or kept.
            ConfigurationError: the store cannot be used.
        """
        place = (digest, settings or self._suitable(digest))
        while True:
            with self._lock:
                if place in self._kept:
                    return self._lend(place, Origin.MEMORY)
                making = self._making.get(place)
                mine = making is None
                if making is None:
                    self._check_refused(place)
                    making = self._making[place] = Future()
            if mine:
                return self._make_for_all(place, making)
            making.result()

    def digests(self) -> frozenset[str]:
        """What is at hand, under any settings."""
        with self._lock:
            return frozenset(digest for digest, _ in self._kept)

    def keep_only(self, digests: Iterable[str]) -> tuple[str, ...]:
        """Drop what is not among these; returns what was dropped. Processes that use it are not disturbed."""
        wanted = frozenset(digests)
        with self._lock:
            gone = [place for place in self._kept if place[0] not in wanted]
            for place in gone:
                os.close(self._kept.pop(place).fd)
            self._refused = {place: why for place, why in self._refused.items() if place[0] in wanted}
            self._own_settings = {d: own for d, own in self._own_settings.items() if d in wanted}
            self._read.clear()
        return tuple(sorted({digest for digest, _ in gone}))

    def close(self) -> None:
        """Give back all memory."""
        self.keep_only(())

    def after_fork_child(self) -> None:
        """In a pool process: hold neither the memory nor the key. Who holds the lock may not live here."""
        for kept in self._kept.values():
            os.close(kept.fd)
        self._lock = threading.Lock()
        self._kept = OrderedDict()
        self._making = {}
        self._store.after_fork_child()

    def _suitable(self, digest: str) -> EngineSettings:
        settings = self._own_settings.get(digest)
        if settings is None:
            record = self._read[digest] = self._catalog.verified_record(digest)
            settings = self._own_settings[digest] = self._settings_of(record)
        return settings

    def _lend(self, place: _Place, origin: Origin) -> OpenedArtifact:
        kept = self._kept[place]
        self._kept.move_to_end(place)
        return OpenedArtifact(
            fd=os.dup(kept.fd),
            size_bytes=kept.size_bytes,
            settings=place[1],
            record=kept.record,
            origin=origin,
        )

    def _check_refused(self, place: _Place) -> None:
        message, until = self._refused.get(place, ("", 0.0))
        if message and self._clock() < until:
            raise CompileError(message)

    def _make_for_all(self, place: _Place, making: Future[None]) -> OpenedArtifact:
        try:
            kept, origin = self._make(*place)
        except BaseException as error:
            with self._lock:
                del self._making[place]
                if isinstance(error, CompileError):
                    self._refused[place] = (error.message, self._clock() + REFUSED_FOR_S)
            ours = isinstance(error, Exception)
            making.set_exception(error if ours else ArtifactError("Who was compiling it was interrupted."))
            raise
        with self._lock:
            del self._making[place]
            self._refused.pop(place, None)
            self._kept[place] = kept
            lent = self._lend(place, origin)
            self._shrink()
        making.set_result(None)
        return lent

    def _make(self, digest: str, settings: EngineSettings) -> tuple[_Kept, Origin]:
        started = time.monotonic()
        # The manifest decides what the plugin may do: it is the one that was verified, not the record's copy.
        record = self._read.pop(digest, None) or self._catalog.verified_record(digest)
        if record.digest != digest:
            raise CatalogError(f"The catalog gave another plugin than {digest[:12]}: it is damaged.")
        module, kind = record.manifest.wasm.module, record.manifest.wasm.kind
        # The digest covers the digests of the files: the module itself is needed only to compile it.
        module_sha256 = entry_of(record, module).sha256
        identity = ArtifactIdentity.of_module(
            digest=digest, module_sha256=module_sha256, kind=kind, engine=settings.fingerprint
        )

        def compile_it() -> int:
            bundle = self._catalog.fetch(digest)
            if bundle.digest != digest:
                raise CatalogError(f"The catalog gave another plugin than {digest[:12]}: it is damaged.")
            return compile_wasm(bundle.files[module], settings, kind=kind, limits=self._limits)

        obtained = self._store.obtain(identity, compile_it)
        size_bytes = os.fstat(obtained.fd).st_size
        logger.debug(
            "%s %s is ready: %s in %.3f s",
            record.name,
            record.version,
            obtained.origin,
            time.monotonic() - started,
            extra={"action": "artifact_ready", "digest": digest, "origin": obtained.origin},
        )
        return _Kept(fd=obtained.fd, size_bytes=size_bytes, record=record), obtained.origin

    def _shrink(self) -> None:
        total = sum(kept.size_bytes for kept in self._kept.values())
        while total > self._max_bytes and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            os.close(oldest.fd)
            total -= oldest.size_bytes
