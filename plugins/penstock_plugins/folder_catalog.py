"""A catalog in a folder: `DIGEST/` for each plugin, with its files and its record."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from penstock_plugins.bundle import MANIFEST_NAME, Bundle, is_digest, read_bundle
from penstock_plugins.catalog import (
    checked_digest,
    new_record,
    readable_records,
    record_of,
    refuse_other_bytes,
    unknown_digest,
    verified,
    verified_record_of,
)
from penstock_plugins.errors import CatalogError, PenstockError
from penstock_plugins.manifest import MAX_MANIFEST_BYTES
from penstock_plugins.record import MAX_RECORD_BYTES, PluginRecord
from penstock_plugins.tool import Tool

RECORD_NAME = "record.json"
_LOCK_NAME = ".lock"
#: Grows by a byte with each removal.
_REMOVED_NAME = ".removed"
#: What is being written, and what is being deleted.
_PUBLISHING, _REMOVING = ".publishing-", ".removing-"
#: Seconds after which nobody publishes any more what was begun.
_LEFT_S = 3600.0


class FolderCatalog:
    """A `Catalog` for one machine. Other processes may read and publish at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, bundle: Bundle, tools: Sequence[Tool], *, imports: Sequence[str] = ()) -> PluginRecord:
        """See `Catalog.publish`."""
        record = new_record(bundle, tools, imports, published=self.records)
        text = record.to_json()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._lock():
                for known in self.records():
                    if (known.name, known.version) == (record.name, record.version):
                        refuse_other_bytes(bundle, known.digest)
                        if self._is_whole(known.digest):
                            return known
                        record, text = known, known.to_json()
                self._write(bundle, text)
        except OSError as error:
            raise CatalogError(f"The plugin cannot be published: {error}") from error
        return record

    def remove(self, name: str, version: str) -> PluginRecord:
        """Forget a release and delete its files. Who has them open reads them to their end.

        Raises:
            CatalogError: there is no such release, or it cannot be deleted.
        """
        gone = self._folder / f"{_REMOVING}{secrets.token_hex(8)}"
        try:
            with self._lock():
                for known in self.records():
                    if (known.name, known.version) == (name, version):
                        os.rename(self._folder / known.digest, gone)  # at once, for whoever looks meanwhile
                        with open(self._folder / _REMOVED_NAME, "ab") as file:
                            file.write(b".")
                        break
                else:
                    raise CatalogError(f"There is no {name}@{version} in the catalog")
            self._sweep()
        except OSError as error:
            raise CatalogError(f"The plugin cannot be removed: {error}") from error
        return known

    def record(self, digest: str) -> PluginRecord:
        """See `Catalog.record`."""
        try:
            return record_of(digest, self._text(checked_digest(digest)))
        except OSError as error:
            raise unknown_digest(digest) from error

    def fetch(self, digest: str) -> Bundle:
        """See `Catalog.fetch`."""
        place = self._folder / checked_digest(digest)
        if not place.is_dir():
            raise unknown_digest(digest)
        try:
            return verified(read_bundle(place), digest)
        except CatalogError:
            raise
        except PenstockError as error:
            raise CatalogError(f"The plugin {digest[:12]} cannot be read: {error}") from error

    def verified_record(self, digest: str) -> PluginRecord:
        """See `Catalog.verified_record`."""
        try:
            text = self._text(checked_digest(digest))
        except OSError as error:
            raise unknown_digest(digest) from error
        try:
            with open(self._folder / digest / MANIFEST_NAME, "rb") as file:
                manifest = file.read(MAX_MANIFEST_BYTES + 1)
        except OSError as error:
            raise CatalogError(f"The plugin {digest[:12]} cannot be read: {error}") from error
        return verified_record_of(digest, text, manifest)

    def records(self) -> list[PluginRecord]:
        """See `Catalog.records`."""
        return readable_records((digest, self._text_or_nothing(digest)) for digest in self._digests())

    def version(self) -> int:
        """See `Catalog.version`; here one for each publish and each removal, counted from what is there."""
        try:
            removals = (self._folder / _REMOVED_NAME).stat().st_size
        except OSError:
            removals = 0
        return len(self._digests()) + 2 * removals

    def _sweep(self) -> None:
        """Delete what was removed, and what publishers that were killed have left."""
        for left in self._folder.iterdir():
            old = left.name.startswith(_PUBLISHING) and time.time() - left.stat().st_mtime > _LEFT_S
            if old or left.name.startswith(_REMOVING):
                shutil.rmtree(left, ignore_errors=True)

    def _digests(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._folder) if is_digest(name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CatalogError(f"The catalog {self._folder} cannot be read: {error.strerror}") from error

    def _text(self, digest: str) -> bytes:
        with open(self._folder / digest / RECORD_NAME, "rb") as file:
            return file.read(MAX_RECORD_BYTES + 1)

    def _text_or_nothing(self, digest: str) -> bytes:
        try:
            return self._text(digest)
        except OSError:
            return b""

    def _is_whole(self, digest: str) -> bool:
        try:
            self.fetch(digest)
        except CatalogError:
            return False
        return True

    def _write(self, bundle: Bundle, record_text: str) -> None:
        """Write beside, then rename: nobody sees a half."""
        unfinished = self._folder / f"{_PUBLISHING}{secrets.token_hex(8)}"
        try:
            unfinished.mkdir()
            for name, content in bundle.files.items():
                (unfinished / name).write_bytes(content)
            (unfinished / RECORD_NAME).write_text(record_text)
            place = self._folder / bundle.digest
            if place.exists():  # damaged
                shutil.rmtree(place)
            os.rename(unfinished, place)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Of two that publish one version at the same time, the first decides."""
        # Imported here: Windows has none, and producers there read catalogs but publish to no folder.
        import fcntl

        with open(self._folder / _LOCK_NAME, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
