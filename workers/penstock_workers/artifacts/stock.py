"""Keeps a shelf in step with the catalog: prepares what is published, drops what is gone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_workers.artifacts.shelf import Shelf
from penstock_workers.artifacts.source import Origin

if TYPE_CHECKING:
    from penstock_plugins.catalog import Catalog
    from penstock_plugins.record import PluginRecord

logger = logging.getLogger(__name__)

#: Seconds until a plugin that could not be prepared is tried again: at first, and at most.
_RETRY_S = (1.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """One plugin whose native code is at hand."""

    #: With the manifest that was verified.
    record: PluginRecord
    size_bytes: int
    origin: Origin
    elapsed_s: float

    @property
    def compiled(self) -> bool:
        """Whether it was compiled now, rather than taken from somewhere."""
        return self.origin is Origin.COMPILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What one round of preparing came to."""

    ready: tuple[Ready, ...] = ()
    #: What could not be prepared, and why. The rest is served all the same.
    failed: tuple[tuple[PluginRecord, Exception], ...] = ()
    #: Digests that the catalog no longer lists.
    dropped: tuple[str, ...] = ()


@dataclass(slots=True)
class _Failure:
    record: PluginRecord
    times: int
    retry_at: float


class Stock:
    """Prepares plugins of one catalog on one shelf."""

    def __init__(
        self,
        catalog: Catalog,
        shelf: Shelf,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._shelf = shelf
        self._clock = clock
        self._seen_version: int | None = None
        self._failures: dict[str, _Failure] = {}

    def prepare_all(self, records: Iterable[PluginRecord]) -> Preparation:
        """Prepare these, one after the other; one that fails does not keep the others from being served.

        Composites have no code, and are passed over.
        """
        ready: list[Ready] = []
        failed: list[tuple[PluginRecord, Exception]] = []
        for record in records:
            if record.manifest.composite is not None:
                continue
            started = self._clock()
            try:
                with self._shelf.take(record.digest) as opened:
                    verified, size_bytes, origin = opened.record, opened.size_bytes, opened.origin
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is this plugin's; it is reported
                failed.append((record, error))
                self._note_failure(record, error)
                continue
            self._failures.pop(record.digest, None)
            elapsed_s = self._clock() - started
            ready.append(Ready(record=verified, size_bytes=size_bytes, origin=origin, elapsed_s=elapsed_s))
        return Preparation(ready=tuple(ready), failed=tuple(failed))

    def refresh(self) -> Preparation:
        """Prepare what was published since, and again what failed; drop what is gone.

        Cheap when nothing changed: it asks the catalog for its version.
        """
        version = self._catalog.version()
        if version == self._seen_version:
            now = self._clock()
            return self.prepare_all([f.record for f in self._failures.values() if f.retry_at <= now])
        records = self._catalog.records()
        listed = {record.digest for record in records}
        dropped = self._shelf.keep_only(listed)
        self._failures = {digest: f for digest, f in self._failures.items() if digest in listed}
        at_hand = self._shelf.digests() | self._failures.keys()
        done = self.prepare_all([record for record in records if record.digest not in at_hand])
        # Noted at the end: a round that was broken off is made again.
        self._seen_version = version
        return Preparation(ready=done.ready, failed=done.failed, dropped=dropped)

    def _note_failure(self, record: PluginRecord, error: Exception) -> None:
        first_s, longest_s = _RETRY_S
        times = self._failures[record.digest].times + 1 if record.digest in self._failures else 1
        wait_s = min(first_s * 2 ** (times - 1), longest_s)
        self._failures[record.digest] = _Failure(record, times, self._clock() + wait_s)
        if times == 1:
            logger.warning(
                "%s %s cannot be served by this worker: %s",
                record.name,
                record.version,
                error,
                extra={"action": "artifact_failed", "digest": record.digest, "error": type(error).__name__},
            )
