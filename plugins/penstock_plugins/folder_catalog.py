"""A catalog in a folder: `DIGEST/` for each plugin, with its files and its record."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from penstock_plugins.bundle import Bundle, read_bundle
from penstock_plugins.catalog import refuse_other_bytes, unknown_digest, verified
from penstock_plugins.errors import CatalogError, PenstockError
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool

RECORD_NAME = "record.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class FolderCatalog:
    """A `Catalog` for one machine. Other processes may read and publish at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, bundle: Bundle, tools: Sequence[Tool], *, imports: Sequence[str] = ()) -> PluginRecord:
        """See `Catalog.publish`."""
        for record in self.records():
            if (record.name, record.version) == (bundle.manifest.name, bundle.manifest.version):
                refuse_other_bytes(bundle, record.digest)
                return record
        record = PluginRecord(
            digest=bundle.digest,
            manifest=bundle.manifest,
            tools=tuple(tools),
            files=bundle.entries,
            imports=tuple(imports),
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".publishing-", dir=self._folder))
        try:
            for name, content in bundle.files.items():
                (unfinished / name).write_bytes(content)
            (unfinished / RECORD_NAME).write_text(record.to_json())
            os.rename(unfinished, self._folder / bundle.digest)
        except OSError as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            if not (self._folder / bundle.digest).is_dir():  # else another process was as quick
                raise CatalogError(f"The plugin cannot be published: {error}") from error
        return record

    def record(self, digest: str) -> PluginRecord:
        """See `Catalog.record`."""
        try:
            return PluginRecord.from_json(self._place(digest).joinpath(RECORD_NAME).read_bytes())
        except OSError as error:
            raise unknown_digest(digest) from error

    def fetch(self, digest: str) -> Bundle:
        """See `Catalog.fetch`."""
        place = self._place(digest)
        if not place.is_dir():
            raise unknown_digest(digest)
        try:
            return verified(read_bundle(place), digest)
        except CatalogError:
            raise
        except PenstockError as error:
            raise CatalogError(f"The plugin {digest[:12]} cannot be read: {error}") from error

    def records(self) -> list[PluginRecord]:
        """See `Catalog.records`."""
        if not self._folder.is_dir():
            return []
        digests = (place.name for place in self._folder.iterdir() if _DIGEST.fullmatch(place.name))
        return sorted((self.record(digest) for digest in digests), key=lambda r: (r.name, r.version))

    def version(self) -> int:
        """See `Catalog.version`; the folder's time of modification."""
        try:
            return self._folder.stat().st_mtime_ns
        except OSError:
            return 0

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise CatalogError(f"{digest[:80]!r} is no digest: it has 64 hex digits")
        return self._folder / digest
