"""Takes plugins out of the catalog.

A plugin that is removed cannot be found by name from then on. Its files stay for the calls that were pinned
to its digest before, until a `Collector` finds that there are none.
"""

from __future__ import annotations

from typing import Any, cast

import redis

from penstock_broker_config import crash
from penstock_broker_config.collector import Collector
from penstock_broker_config.keys import Keys
from penstock_broker_config.references import References, find_references
from penstock_plugins.errors import CatalogError

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


class Removal:
    """Removes plugins from one catalog.

    Raises `redis.RedisError` when Redis does not answer.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._redis = client
        self._keys = keys
        self._collector = Collector(client, keys)
        self._remove: Any = client.register_script(_REMOVE)

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
            removed = self._collector.removed()
            if digest in removed:
                self._collector.delete(digest, removed[digest])
        return references

    def _remove_again(self, label: str, *, force: bool) -> References:
        """What was removed by somebody who ended before he was told so, or before its files were gone."""
        removed = {
            digest: entry for digest, entry in self._collector.removed().items() if entry.label == label
        }
        if not removed:
            raise CatalogError(f"There is no {label} in the catalog: see `penstock plugin list`")
        references = find_references(self._redis, self._keys, removed)
        for digest, entry in removed.items() if force else ():
            self._collector.delete(digest, entry)
        return references

    def _now_ms(self) -> int:
        seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000
