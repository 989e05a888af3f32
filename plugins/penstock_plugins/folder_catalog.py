"""A catalog in a folder: `DIGEST/` for each plugin, with its files and its record."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
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
    verified_manifest,
)
from penstock_plugins.errors import CatalogError, PenstockError
from penstock_plugins.manifest import MAX_MANIFEST_BYTES, Manifest
from penstock_plugins.record import MAX_RECORD_BYTES, PluginRecord
from penstock_plugins.tool import Tool

RECORD_NAME = "record.json"
_LOCK_NAME = ".lock"


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

    def manifest(self, record: PluginRecord) -> Manifest:
        """See `Catalog.manifest`."""
        try:
            with open(self._folder / checked_digest(record.digest) / MANIFEST_NAME, "rb") as file:
                text = file.read(MAX_MANIFEST_BYTES + 1)
        except OSError as error:
            raise CatalogError(f"The plugin {record.digest[:12]} cannot be read: {error}") from error
        return verified_manifest(record, text)

    def records(self) -> list[PluginRecord]:
        """See `Catalog.records`."""
        return readable_records((digest, self._text_or_nothing(digest)) for digest in self._digests())

    def version(self) -> int:
        """See `Catalog.version`; here the number of plugins."""
        return len(self._digests())

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
        unfinished = self._folder / f".publishing-{secrets.token_hex(8)}"
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
