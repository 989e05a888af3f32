"""The catalog in Redis, so that a worker on another host needs nothing else.

A bundle's files are lists of chunks, written before the record that makes them known. What is fetched is
verified against its digest: Redis is believed to keep bytes, not to keep them honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import redis

from penstock_broker_config.keys import Keys
from penstock_plugins.bundle import MAX_BUNDLE_BYTES, Bundle, bundle_from
from penstock_plugins.catalog import refuse_other_bytes, unknown_digest, verified
from penstock_plugins.errors import CatalogError, PenstockError
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool

#: Bytes of one chunk: small enough not to hold Redis up.
CHUNK_BYTES = 512 * 1024


class RedisCatalog:
    """A `Catalog` shared by all hosts. Raises `redis.RedisError` when Redis does not answer."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._redis = client
        self._keys = keys

    def publish(self, bundle: Bundle, tools: Sequence[Tool], *, imports: Sequence[str] = ()) -> PluginRecord:
        """See `Catalog.publish`."""
        name = f"{bundle.manifest.name}@{bundle.manifest.version}"
        self._refuse_taken(name, bundle)
        record = PluginRecord(
            digest=bundle.digest,
            manifest=bundle.manifest,
            tools=tuple(tools),
            files=bundle.entries,
            imports=tuple(imports),
        )
        for path, content in bundle.files.items():
            self._store(self._keys.catalog_file(bundle.digest, path), content)
        # Of two that publish one version at the same time, the name decides.
        self._redis.hsetnx(self._keys.catalog_names, name, bundle.digest)
        self._refuse_taken(name, bundle)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(self._keys.catalog_records, bundle.digest, record.to_json())
            pipe.incr(self._keys.catalog_version)
            pipe.execute()
        return self.record(bundle.digest)

    def record(self, digest: str) -> PluginRecord:
        """See `Catalog.record`."""
        raw = cast("bytes | None", self._redis.hget(self._keys.catalog_records, digest))
        if raw is None:
            raise unknown_digest(digest)
        return PluginRecord.from_json(raw)

    def fetch(self, digest: str) -> Bundle:
        """See `Catalog.fetch`."""
        record = self.record(digest)
        if sum(entry.size_bytes for entry in record.files) > MAX_BUNDLE_BYTES:
            raise CatalogError(f"The plugin {digest[:12]} has more than {MAX_BUNDLE_BYTES} bytes")
        files = {entry.path: self._load(digest, entry.path, entry.size_bytes) for entry in record.files}
        try:
            return verified(bundle_from(files), digest)
        except CatalogError:
            raise
        except PenstockError as error:
            raise CatalogError(f"The plugin {digest[:12]} cannot be read: {error}") from error

    def records(self) -> list[PluginRecord]:
        """See `Catalog.records`."""
        raws = cast("list[bytes]", self._redis.hvals(self._keys.catalog_records))
        return sorted((PluginRecord.from_json(raw) for raw in raws), key=lambda r: (r.name, r.version))

    def version(self) -> int:
        """See `Catalog.version`."""
        return int(cast("Any", self._redis.get(self._keys.catalog_version)) or 0)

    def _refuse_taken(self, name: str, bundle: Bundle) -> None:
        taken = cast("bytes | None", self._redis.hget(self._keys.catalog_names, name))
        if taken is not None:
            refuse_other_bytes(bundle, taken.decode())

    def _store(self, key: str, content: bytes) -> None:
        """Write the chunks in one transaction: nobody sees a half."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            for start in range(0, max(len(content), 1), CHUNK_BYTES):
                pipe.rpush(key, content[start : start + CHUNK_BYTES])
            pipe.execute()

    def _load(self, digest: str, path: str, size_bytes: int) -> bytes:
        key = self._keys.catalog_file(digest, path)
        chunks: list[bytes] = []
        for position in range(max(1, -(-size_bytes // CHUNK_BYTES))):
            chunk = cast("bytes | None", self._redis.lindex(key, position))
            if chunk is None or len(chunk) > CHUNK_BYTES:
                raise CatalogError(f"The file {path} of plugin {digest[:12]} is damaged: publish it again")
            chunks.append(chunk)
        return b"".join(chunks)
