"""Collects what nothing in the catalog refers to any more: files of removed plugins, native code, costs.

The files of a plugin that was removed stay until no open job and no dead letter has its digest, and at least
for an hour, in which the last producer has noticed. Any number of processes may collect at any time, and
others publish meanwhile: each deletion is a script that looks once more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import redis

from penstock_broker_config import crash
from penstock_broker_config.keys import Keys
from penstock_broker_config.references import find_references
from penstock_plugins.bundle import is_digest
from penstock_plugins.errors import CatalogError
from penstock_plugins.record import PluginRecord

logger = logging.getLogger(__name__)

#: Seconds for which the files of a removed plugin stay in any case.
GRACE_S = 3600.0
#: Keys that one step of a scan looks at.
_SCAN_COUNT = 1000

#: KEYS records removed files…; ARGV digest, the entry of `removed` that was judged ('' = there was none).
#: Deletes the files, unless the plugin was published again or removed again meanwhile.
_COLLECT = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
local gone = 0
for k = 3, #KEYS do gone = gone + redis.call('UNLINK', KEYS[k]) end
return gone
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection deleted, or would delete."""

    #: Removed plugins, `name@version`, whose files went.
    plugins: tuple[str, ...] = ()
    #: Removed plugins that somebody still refers to, or whose hour is not over.
    kept: tuple[str, ...] = ()
    #: Files of no plugin at all.
    stray_files: int = 0
    #: Native code of plugins that are gone.
    artifacts: int = 0
    #: Measured costs of tools that are gone.
    costs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """An entry of `catalog:removed`: when, and the record as it was."""

    raw: bytes
    at_ms: int
    label: str
    #: Of its files; none when the record cannot be read.
    paths: tuple[str, ...]

    @classmethod
    def read(cls, digest: bytes, raw: bytes) -> Removed:
        """The entry of a digest, whatever is in it."""
        when, _, text = raw.partition(b" ")
        at_ms = int(when) if when.isdigit() and len(when) < 16 else 0
        try:
            record = PluginRecord.from_json(text)
        except CatalogError:
            return cls(raw=raw, at_ms=at_ms, label=digest.decode(errors="replace")[:12], paths=())
        paths = tuple(entry.path for entry in record.files)
        return cls(raw=raw, at_ms=at_ms, label=f"{record.name}@{record.version}", paths=paths)


class Collector:
    """Collects in one catalog.

    Raises `redis.RedisError` when Redis does not answer.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, grace_s: float = GRACE_S) -> None:
        self._redis = client
        self._keys = keys
        self._grace_ms = int(grace_s * 1000)
        self._collect: Any = client.register_script(_COLLECT)

    def collect(self, *, dry_run: bool = False, scan: bool = False) -> Collected:
        """Delete what nothing refers to any more.

        Args:
            dry_run: only say what would go.
            scan: also look through all keys for files of no plugin at all; that takes a while.
        """
        removed = self.removed()
        due_ms = self._now_ms() - self._grace_ms
        references = find_references(self._redis, self._keys, removed)
        gone: list[str] = []
        kept: list[str] = []
        for digest, entry in removed.items():
            waits = entry.at_ms > due_ms or references.hold(digest)
            (kept if waits else gone).append(digest)
            if not waits and not dry_run:
                self.delete(digest, entry)
        known = {*self._listed(), *kept}
        collected = Collected(
            plugins=tuple(removed[digest].label for digest in gone),
            kept=tuple(removed[digest].label for digest in kept),
            stray_files=self._collect_strays({*known, *gone}, dry_run=dry_run) if scan else 0,
            artifacts=self._collect_artifacts(known, dry_run=dry_run),
            costs=self._collect_costs(known, dry_run=dry_run),
        )
        if not dry_run and gone:
            logger.info(
                "Collected the files of %d removed plugins",
                len(gone),
                extra={"action": "plugins_collected", "plugins": collected.plugins},
            )
        return collected

    def removed(self) -> dict[str, Removed]:
        """What was removed and not collected yet, by its digest."""
        entries = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.catalog_removed))
        return {digest.decode(errors="replace"): Removed.read(digest, raw) for digest, raw in entries.items()}

    def delete(self, digest: str, entry: Removed) -> None:
        """Delete the files of a removed plugin, unless it was published or removed again meanwhile."""
        files = [self._keys.catalog_file(digest, path) for path in entry.paths]
        if not entry.paths:  # its record cannot be read
            files = [key for key in self._files_in_redis() if _digest_of(key, self._keys) == digest]
        keys = [self._keys.catalog_records, self._keys.catalog_removed, *files]
        self._ask_to_collect(keys, digest, entry.raw)

    def _ask_to_collect(self, keys: list[str], digest: str, judged: bytes | str) -> int:
        crash.reach("collector.before_collect")
        gone = int(self._collect(keys=keys, args=[digest, judged]))
        crash.reach("collector.after_collect")
        return gone

    def _collect_strays(self, known: set[str], *, dry_run: bool) -> int:
        strays = 0
        for key in self._files_in_redis():
            digest = _digest_of(key, self._keys)
            # What is being sent has an expiry; what arrived has none.
            if digest is None or digest in known or self._redis.ttl(key) != -1:
                continue
            keys = [self._keys.catalog_records, self._keys.catalog_removed, key]
            strays += 1 if dry_run else self._ask_to_collect(keys, digest, "")
        return strays

    def _collect_artifacts(self, known: set[str], *, dry_run: bool) -> int:
        # Names begin with their bundle's digest. One too many that goes is made anew.
        prefixes = {digest[:16] for digest in known}
        names = cast("list[bytes]", self._redis.zrange(self._keys.artifacts, 0, -1))
        gone = [name.decode(errors="replace") for name in names]
        gone = [name for name in gone if name[:16] not in prefixes]
        for name in gone if not dry_run else ():
            self._redis.unlink(self._keys.artifact(name))
            crash.reach("collector.after_artifact")
            self._redis.zrem(self._keys.artifacts, name)
        return len(gone)

    def _collect_costs(self, known: set[str], *, dry_run: bool) -> int:
        fields = cast("list[bytes]", self._redis.hkeys(self._keys.costs))
        gone = [name for name in fields if name.decode(errors="replace").partition(":")[0] not in known]
        if gone and not dry_run:
            self._redis.hdel(self._keys.costs, *gone)
        return len(gone)

    def _listed(self) -> set[str]:
        digests = cast("list[bytes]", self._redis.hkeys(self._keys.catalog_records))
        return {digest.decode(errors="replace") for digest in digests}

    def _files_in_redis(self) -> Iterator[str]:
        escaped = "".join(f"\\{c}" if c in "*?[]\\^" else c for c in self._keys.prefix)
        for key in self._redis.scan_iter(match=f"{escaped}catalog:*", count=_SCAN_COUNT, _type="hash"):
            yield key.decode(errors="replace") if isinstance(key, bytes) else key

    def _now_ms(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _digest_of(key: str, keys: Keys) -> str | None:
    """The digest in the key of a bundle's file; None: it is another key of the catalog."""
    digest, colon, _ = key.removeprefix(f"{keys.prefix}catalog:").partition(":")
    return digest if colon and is_digest(digest) else None
