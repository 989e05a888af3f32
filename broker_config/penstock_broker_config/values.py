"""Large params and results: kept beside the ledger's records, which then only name them by their digest.

A value belongs to a job and goes with it, that of a pipeline's inner job with the run. It is in Redis in
chunks, or under a URL of the operator's (any that fsspec can open). What is read is checked against its
digest: a value that was changed is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Protocol, cast

import redis

from penstock_broker_config import crash
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import run_of
from penstock_broker_config.settings import Settings
from penstock_broker_config.value_references import checked, digest_and_size, refer
from penstock_plugins.errors import ConfigurationError, ValueLostError

#: Redis keeps a value in pieces of this size, so that none of its commands takes long.
CHUNK_BYTES = 512 * 1024
#: Milliseconds for which a value is kept whose job was never submitted.
ORPHAN_MS = 3_600_000
#: ... and one of a job that goes on, as in scripts/jobs.lua.
VALUES_MS = 14 * 86_400_000

#: KEYS values job; ARGV field chunk orphan-ms values-ms. The first chunk says how long a job's values are
#: kept: until it is submitted, which sets the time for which it may take, or as long as one that is there.
#: Not `PEXPIRE … NX`, which is new in Redis 7.0.
_PUT = """
local first = redis.call('EXISTS', KEYS[1]) == 0
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if first then redis.call('PEXPIRE', KEYS[1], ARGV[3 + redis.call('EXISTS', KEYS[2])]) end
"""


class Values(Protocol):
    """Where large values are."""

    def put(self, job_id: str, value: bytes) -> bytes:
        """Keep a value of a job; returns the reference that stands for it. Putting it twice is fine."""
        ...

    def get(self, job_id: str, reference: bytes) -> bytes:
        """The value that a reference stands for.

        Raises:
            ValueLostError: it is gone, or was changed.
        """
        ...

    def collect(self, live: Iterable[str]) -> int:
        """Remove the values of all jobs but these; returns of how many jobs. Redis does that by itself."""
        ...


class RedisValues:
    """Values in the ledger's Redis: one hash for each job, which expires with it."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._redis = client
        self._keys = keys
        self._put: Any = client.register_script(_PUT)

    def put(self, job_id: str, value: bytes) -> bytes:
        """See `Values.put`."""
        reference = refer(value)
        digest, _ = digest_and_size(reference)
        keys = self._keys.values(job_id), self._keys.job(run_of(job_id))
        crash.reach("value.before_put")
        for start in range(0, len(value), CHUNK_BYTES):
            chunk = value[start : start + CHUNK_BYTES]
            self._put(keys, [f"{digest}:{start // CHUNK_BYTES}", chunk, ORPHAN_MS, VALUES_MS])
            crash.reach("value.after_chunk")
        crash.reach("value.after_put")
        return reference

    def get(self, job_id: str, reference: bytes) -> bytes:
        """See `Values.get`."""
        digest, size = digest_and_size(reference)
        key, chunks = self._keys.values(job_id), []
        for number in range(-(-size // CHUNK_BYTES)):
            chunk = cast("bytes | None", self._redis.hget(key, f"{digest}:{number}"))
            if chunk is None:
                break
            chunks.append(chunk)
        return checked(b"".join(chunks) if chunks else None, reference)

    def collect(self, live: Iterable[str]) -> int:
        """See `Values.collect`."""
        del live
        return 0


class UrlValues:
    """Values under a URL that fsspec can open: `URL/JOB/DIGEST`."""

    def __init__(self, url: str) -> None:
        """
        Args:
            url: such as `file:///srv/penstock` or `s3://bucket/penstock`.

        Raises:
            ConfigurationError: fsspec, or what it needs for this kind of URL, is not installed.
        """
        try:
            from fsspec.core import url_to_fs
        except ModuleNotFoundError:
            raise ConfigurationError("values_url needs fsspec: pip install 'penstock[values]'") from None
        try:
            self._fs, self._root = cast("tuple[Any, str]", url_to_fs(url))
            #: Folders that had no job when they were looked at last.
            self._doomed: set[str] = set()
        except (ImportError, ValueError) as error:
            raise ConfigurationError(f"values_url {url!r} cannot be used: {error}") from error

    def put(self, job_id: str, value: bytes) -> bytes:
        """See `Values.put`."""
        reference = refer(value)
        digest, _ = digest_and_size(reference)
        folder = f"{self._root}/{_safe(job_id)}"
        crash.reach("value.before_put")
        self._fs.makedirs(folder, exist_ok=True)
        # Moved into place: nobody reads half of it.
        self._fs.pipe_file(f"{folder}/.{digest}", value)
        crash.reach("value.after_chunk")
        self._fs.mv(f"{folder}/.{digest}", f"{folder}/{digest}")
        crash.reach("value.after_put")
        return reference

    def get(self, job_id: str, reference: bytes) -> bytes:
        """See `Values.get`."""
        digest, size = digest_and_size(reference)
        path = f"{self._root}/{_safe(job_id)}/{digest}"
        try:
            if self._fs.size(path) != size:
                raise ValueLostError(f"A large value was changed: {reference.decode()}")
            return checked(self._fs.cat_file(path), reference)
        except FileNotFoundError:
            return checked(None, reference)

    def collect(self, live: Iterable[str]) -> int:
        """See `Values.collect`."""
        kept = {_safe(job_id) for job_id in live}
        entries = self._fs.ls(self._root, detail=False) if self._fs.exists(self._root) else []
        names = {str(entry).rstrip("/").rpartition("/")[2] for entry in entries}
        without = {name for name in names - kept if re.fullmatch(r"[0-9a-f]{32}", name)}
        # A value is put before its job is submitted: what has no job now may have one when we look again.
        gone = without & self._doomed
        for name in gone:
            self._fs.rm(f"{self._root}/{name}", recursive=True)
            crash.reach("collector.after_values")
        self._doomed = without - gone
        return len(gone)


def _safe(job_id: str) -> str:
    """A folder's name for a job, whatever its id is made of."""
    return hashlib.blake2b(run_of(job_id).encode(), digest_size=16).hexdigest()


def open_values(client: redis.Redis, settings: Settings) -> Values:
    """Where the operator wants large values to be.

    Raises:
        ConfigurationError: the URL cannot be used.
    """
    if settings.values_url is None:
        return RedisValues(client, settings.keys)
    return UrlValues(settings.values_url)
