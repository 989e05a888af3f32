"""Takes plugins out of the catalog, and collects what nothing refers to any more.

A plugin that is removed cannot be found by name from then on. Its files stay for the calls that were pinned
to its digest before: until no open job and no dead letter has it, and at least for an hour, in which the last
producer has noticed. Any number of processes may collect at any time, and others publish meanwhile: each
deletion is a script that looks once more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import redis

from penstock_broker_config import crash
from penstock_broker_config.keys import Keys
from penstock_broker_config.references import References, find_references
from penstock_plugins.bundle import is_digest
from penstock_plugins.errors import CatalogError
from penstock_plugins.record import PluginRecord

logger = logging.getLogger(__name__)

#: Seconds for which the files of a removed plugin stay in any case.
GRACE_S = 3600.0
#: Keys that one step of a scan looks at.
_SCAN_COUNT = 1000

#: KEYS names records removed version; ARGV name@version digest now-ms. 1: it was removed; 0: it is not there.
_REMOVE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
local record = redis.call('HGET', KEYS[2], ARGV[2])
if record then redis.call('HSET', KEYS[3], ARGV[2], ARGV[3] .. ' ' .. record) end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('INCR', KEYS[4])
return 1
"""

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


class Removal:
    """Removes plugins from one catalog, and collects what is left of them.

    Raises `redis.RedisError` when Redis does not answer.
    """

    def __init__(self, client: redis.Redis, keys: Keys, *, grace_s: float = GRACE_S) -> None:
        self._redis = client
        self._keys = keys
        self._grace_ms = int(grace_s * 1000)
        self._remove: Any = client.register_script(_REMOVE)
        self._collect: Any = client.register_script(_COLLECT)

    def remove(self, name: str, version: str, *, force: bool = False) -> References:
        """Take one release out of the catalog; one that was removed, and whose files wait, once more.

        Args:
            name: of the plugin.
            version: of the release.
            force: even when jobs that have not ended refer to it, and delete its files at once. Their calls
                end TOOL_NOT_READY.

        Returns:
            What still refers to it, for which its files are kept (unless forced).

        Raises:
            CatalogError: there is no such release, or open jobs refer to it.
        """
        keys = self._keys
        found = cast("bytes | None", self._redis.hget(keys.catalog_names, f"{name}@{version}"))
        if found is None:
            return self._remove_again(f"{name}@{version}", force=force)
        digest = found.decode(errors="replace")
        references = find_references(self._redis, keys, [digest])
        jobs = references.jobs.get(digest, [])
        if jobs and not force:
            shown = ", ".join(jobs[:3]) + (", …" if len(jobs) > 3 else "")
            what = "1 open job refers" if len(jobs) == 1 else f"{len(jobs)} open jobs refer"
            raise CatalogError(
                f"{name}@{version} is not removed: {what} to it ({shown}). Let them end, cancel them"
                " (`penstock job cancel`), or say --force: then their calls end TOOL_NOT_READY"
            )
        crash.reach("operator.before_remove")
        self._remove(
            keys=[keys.catalog_names, keys.catalog_records, keys.catalog_removed, keys.catalog_version],
            args=[f"{name}@{version}", digest, self._now_ms()],
        )
        crash.reach("operator.after_remove")
        if force:
            removed = self._removed()
            if digest in removed:
                self._delete(digest, removed[digest])
        return references

    def _remove_again(self, label: str, *, force: bool) -> References:
        """What was removed by somebody who ended before he was told so, or before its files were gone."""
        removed = {digest: entry for digest, entry in self._removed().items() if entry.label == label}
        if not removed:
            raise CatalogError(f"There is no {label} in the catalog: see `penstock plugin list`")
        references = find_references(self._redis, self._keys, removed)
        for digest, entry in removed.items() if force else ():
            self._delete(digest, entry)
        return references

    def collect(self, *, dry_run: bool = False, scan: bool = False) -> Collected:
        """Delete what nothing refers to any more.

        Args:
            dry_run: only say what would go.
            scan: also look through all keys for files of no plugin at all; that takes a while.
        """
        removed = self._removed()
        due_ms = self._now_ms() - self._grace_ms
        references = find_references(self._redis, self._keys, removed)
        gone: list[str] = []
        kept: list[str] = []
        for digest, entry in removed.items():
            waits = entry.at_ms > due_ms or references.hold(digest)
            (kept if waits else gone).append(digest)
            if not waits and not dry_run:
                self._delete(digest, entry)
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

    def _delete(self, digest: str, entry: _Removed) -> None:
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

    def _removed(self) -> dict[str, _Removed]:
        entries = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.catalog_removed))
        return {
            digest.decode(errors="replace"): _Removed.read(digest, raw) for digest, raw in entries.items()
        }

    def _files_in_redis(self) -> Iterator[str]:
        escaped = "".join(f"\\{c}" if c in "*?[]\\^" else c for c in self._keys.prefix)
        for key in self._redis.scan_iter(match=f"{escaped}catalog:*", count=_SCAN_COUNT, _type="hash"):
            yield key.decode(errors="replace") if isinstance(key, bytes) else key

    def _now_ms(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Removed:
    """An entry of `catalog:removed`: when, and the record as it was."""

    raw: bytes
    at_ms: int
    label: str
    #: Of its files; none when the record cannot be read.
    paths: tuple[str, ...]

    @classmethod
    def read(cls, digest: bytes, raw: bytes) -> _Removed:
        when, _, text = raw.partition(b" ")
        at_ms = int(when) if when.isdigit() and len(when) < 16 else 0
        try:
            record = PluginRecord.from_json(text)
        except CatalogError:
            return cls(raw=raw, at_ms=at_ms, label=digest.decode(errors="replace")[:12], paths=())
        paths = tuple(entry.path for entry in record.files)
        return cls(raw=raw, at_ms=at_ms, label=f"{record.name}@{record.version}", paths=paths)


def _digest_of(key: str, keys: Keys) -> str | None:
    """The digest in the key of a bundle's file; None: it is another key of the catalog."""
    digest, colon, _ = key.removeprefix(f"{keys.prefix}catalog:").partition(":")
    return digest if colon and is_digest(digest) else None
