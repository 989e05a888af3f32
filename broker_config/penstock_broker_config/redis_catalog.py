"""The catalog in Redis, so that a worker on another host needs nothing else.

A bundle's files are sent in chunks beside their place, and get there in the one transaction that makes the
plugin known. What is fetched is verified against its digest: Redis is believed to keep bytes, not to keep
them honest.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import redis

from penstock_broker_config import crash
from penstock_broker_config.keys import Keys
from penstock_plugins.bundle import MANIFEST_NAME, MAX_BUNDLE_BYTES, Bundle, bundle_from
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
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool

if TYPE_CHECKING:
    from redis.client import Pipeline

#: Bytes of one chunk: small enough not to hold Redis up.
CHUNK_BYTES = 512 * 1024
#: Seconds after which Redis forgets the chunks of a publisher that was killed.
UPLOAD_TTL_S = 3600


class RedisCatalog:
    """A `Catalog` shared by all hosts. Raises `redis.RedisError` when Redis does not answer."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._redis = client
        self._keys = keys

    def publish(self, bundle: Bundle, tools: Sequence[Tool], *, imports: Sequence[str] = ()) -> PluginRecord:
        """See `Catalog.publish`."""
        record = new_record(bundle, tools, imports, published=self.records)
        text = record.to_json()
        if self._is_published(bundle):
            return self.record(bundle.digest)
        token = secrets.token_hex(8)
        crash.reach("operator.before_publish")
        uploads = {path: self._keys.catalog_upload(bundle.digest, path, token) for path in bundle.files}
        for path, content in bundle.files.items():
            self._upload(uploads[path], content)
        crash.reach("operator.after_upload")
        try:
            # Of two that publish one version at the same time, the first decides.
            self._redis.transaction(
                lambda pipe: self._commit(pipe, bundle, text, uploads), self._keys.catalog_names
            )
        except _UploadLostError:
            # Also after a transaction whose answer was lost on the way: then the plugin is there.
            if not self._is_published(bundle):
                raise
        crash.reach("operator.after_publish")
        return self.record(bundle.digest)

    def record(self, digest: str) -> PluginRecord:
        """See `Catalog.record`."""
        text = cast("bytes | None", self._redis.hget(self._keys.catalog_records, checked_digest(digest)))
        return record_of(digest, text or self._removed(digest))

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

    def verified_record(self, digest: str) -> PluginRecord:
        """See `Catalog.verified_record`."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(self._keys.catalog_records, checked_digest(digest))
            pipe.hget(self._keys.catalog_file(digest, MANIFEST_NAME), "0")  # it fits into one chunk
            text, chunk = cast("list[bytes | None]", pipe.execute())
        text = text or self._removed(digest)
        return verified_record_of(digest, text, _chunk(digest, MANIFEST_NAME, chunk))

    def records(self) -> list[PluginRecord]:
        """See `Catalog.records`."""
        texts = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.catalog_records))
        return readable_records((digest.decode(errors="replace"), text) for digest, text in texts.items())

    def version(self) -> int:
        """See `Catalog.version`."""
        return int(cast("Any", self._redis.get(self._keys.catalog_version)) or 0)

    def _removed(self, digest: str) -> bytes:
        """The record of a plugin that was removed, and is kept for the calls that are pinned to it."""
        entry = cast("bytes | None", self._redis.hget(self._keys.catalog_removed, digest))
        if entry is None:
            raise unknown_digest(digest)
        return entry.partition(b" ")[2]

    def _is_published(self, bundle: Bundle) -> bool:
        return self._refuse_taken(self._redis, bundle) and self._is_whole(bundle.digest)

    def _refuse_taken(self, client: redis.Redis, bundle: Bundle) -> bool:
        """Whether its name is taken by this very bundle."""
        taken = cast("bytes | None", client.hget(self._keys.catalog_names, _name(bundle)))
        if taken is not None:
            refuse_other_bytes(bundle, taken.decode(errors="replace"))
        return taken is not None

    def _is_whole(self, digest: str) -> bool:
        try:
            self.fetch(digest)
        except CatalogError:
            return False
        return True

    def _upload(self, key: str, content: bytes) -> None:
        # Numbered, not appended: the client sends a command again whose answer was lost.
        for number, start in enumerate(range(0, max(len(content), 1), CHUNK_BYTES)):
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(key, str(number), content[start : start + CHUNK_BYTES])
                pipe.expire(key, UPLOAD_TTL_S)
                pipe.execute()

    def _commit(self, pipe: Pipeline, bundle: Bundle, text: str, uploads: dict[str, str]) -> None:
        """Put the files in their places and make the plugin known, unless another one has its name."""
        self._refuse_taken(pipe, bundle)
        known = cast("bytes | None", pipe.hget(self._keys.catalog_records, bundle.digest))
        new = known is None or not _is_readable(bundle.digest, known)
        for key in uploads.values():
            if not pipe.expire(key, UPLOAD_TTL_S):
                raise _UploadLostError("The plugin's files were lost on the way: publish it again")
        pipe.multi()
        for path, key in uploads.items():
            place = self._keys.catalog_file(bundle.digest, path)
            pipe.rename(key, place)
            pipe.persist(place)
        pipe.hset(self._keys.catalog_names, _name(bundle), bundle.digest)
        pipe.hdel(self._keys.catalog_removed, bundle.digest)
        if new:
            pipe.hset(self._keys.catalog_records, bundle.digest, text)
            pipe.incr(self._keys.catalog_version)

    def _load(self, digest: str, path: str, size_bytes: int) -> bytes:
        key = self._keys.catalog_file(digest, path)
        chunks: list[bytes] = []
        for number in range(max(1, -(-size_bytes // CHUNK_BYTES))):
            chunk = cast("bytes | None", self._redis.hget(key, str(number)))
            chunks.append(_chunk(digest, path, chunk))
        return b"".join(chunks)


class _UploadLostError(CatalogError):
    """The plugin's files were lost on the way: publish it again."""


def _chunk(digest: str, path: str, chunk: bytes | None) -> bytes:
    if chunk is None or len(chunk) > CHUNK_BYTES:
        raise CatalogError(f"The file {path} of plugin {digest[:12]} is damaged: publish it again")
    return chunk


def _name(bundle: Bundle) -> str:
    return f"{bundle.manifest.name}@{bundle.manifest.version}"


def _is_readable(digest: str, text: bytes) -> bool:
    try:
        record_of(digest, text)
    except CatalogError:
        return False
    return True
