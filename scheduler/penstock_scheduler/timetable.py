"""Periodic submissions: which call is due when, kept in Redis for all schedulers.

Celery's `crontab` knows the calendar; its own scheduler would keep the times in a file, for one process only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
import redis
from celery.schedules import crontab

from penstock_broker_config.keys import Keys
from penstock_plugins.errors import ConfigurationError

#: What happens to times that passed while no scheduler ran: `skip` them, run the `last` one, or run `all`.
CatchUp = Literal["skip", "last", "all"]

#: Characters of a name at most, and seconds between two times at least.
MAX_NAME_CHARS = 128
LEAST_EVERY_S = 1.0

#: Moves an entry on, if nobody else has. KEYS 1 times; ARGV 1 name 2 from 3 to
_ADVANCE = """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """A call that is submitted again and again."""

    name: str
    #: As for `submit`.
    tool: str
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Minute, hour, day of the month, month, day of the week; or seconds between two times. One of the two.
    cron: str | None = None
    every_s: float | None = None
    #: Where the clock of `cron` hangs.
    timezone: str = "UTC"
    catch_up: CatchUp = "last"
    queue: str | None = None
    tenant: str | None = None
    batch_key: str | None = None

    def __post_init__(self) -> None:
        self._check_types()
        if not 0 < len(self.name) <= MAX_NAME_CHARS or not self.name.isprintable():
            raise ConfigurationError(f"a name has 1 to {MAX_NAME_CHARS} printable characters")
        if (self.cron is None) == (self.every_s is None):
            raise ConfigurationError(f"{self.name}: give either cron or every_s")
        if self.every_s is not None and not LEAST_EVERY_S <= self.every_s <= 366 * 86_400:
            raise ConfigurationError(f"{self.name}: every_s must be from {LEAST_EVERY_S:g} s to a year")
        if self.catch_up not in get_args(CatchUp):
            raise ConfigurationError(f"{self.name}: catch_up must be one of {', '.join(get_args(CatchUp))}")
        self._clock()

    def _check_types(self) -> None:
        """An entry is read from a Redis that others may write to."""
        it: Any = self  # its annotations are promises of ours
        texts = (it.name, it.tool, it.timezone, it.catch_up)
        perhaps = (it.cron, it.queue, it.tenant, it.batch_key)
        every = it.every_s is None or (isinstance(it.every_s, int | float) and it.every_s is not True)
        if not (
            all(isinstance(text, str) for text in texts)
            and all(text is None or isinstance(text, str) for text in perhaps)
            and every
            and isinstance(it.params, Mapping)
        ):
            raise ConfigurationError("an entry's fields are texts, its params an object, every_s a number")

    def next_after(self, moment_ms: int) -> int:
        """The first time after a moment, in milliseconds since 1970."""
        if self.every_s is not None:
            return moment_ms + int(self.every_s * 1000)
        cron, zone = self._clock()
        last = datetime.fromtimestamp(moment_ms / 1000, zone)
        # In the autumn an hour comes twice, and its times once: what is not later is counted on from.
        while True:
            start, delta, _ = cron.remaining_delta(last, tz=zone)
            found = int((start + delta).astimezone(UTC).timestamp() * 1000)
            if found > moment_ms:
                return found
            last = start + delta

    def _clock(self) -> tuple[crontab, ZoneInfo]:
        try:
            zone = ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigurationError(f"{self.name}: there is no time zone {self.timezone!r}") from None
        try:
            cron = crontab.from_string(self.cron or "* * * * *")
        except (ValueError, KeyError) as error:
            raise ConfigurationError(
                f"{self.name}: {self.cron!r} is no cron line such as '*/5 8-18 * * mon-fri': {error}"
            ) from None
        return cron, zone


class Timetable:
    """The periodic submissions of one system."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._redis = client
        self._keys = keys
        self._advance = client.register_script(_ADVANCE)

    def put(self, entry: Periodic) -> int:
        """Add an entry, or replace the one of that name; returns when it is due first."""
        due = entry.next_after(self.now_ms())
        with self._redis.pipeline() as pipe:
            pipe.hset(self._keys.periodic, entry.name, orjson.dumps(asdict(entry)))
            pipe.zadd(self._keys.periodic_times, {entry.name: due})
            pipe.execute()
        return due

    def remove(self, name: str) -> bool:
        """Remove an entry; False when there is none."""
        with self._redis.pipeline() as pipe:
            pipe.hdel(self._keys.periodic, name)
            pipe.zrem(self._keys.periodic_times, name)
            return bool(pipe.execute()[0])

    def entries(self) -> list[tuple[Periodic, int]]:
        """Every entry that can be read and when it is due, the next one first."""
        times = cast(
            "list[tuple[bytes, float]]", self._redis.zrange(self._keys.periodic_times, 0, -1, withscores=True)
        )
        found = []
        for raw_name, due in times:
            entry = self._read(raw_name)
            if entry is not None:
                found.append((entry, int(due)))
        return found

    def due(self, now_ms: int, count: int = 100) -> list[tuple[Periodic, int]]:
        """The entries whose time has come, and that time."""
        names = cast(
            "list[tuple[bytes, float]]",
            self._redis.zrange(
                self._keys.periodic_times, -1, now_ms, byscore=True, offset=0, num=count, withscores=True
            ),
        )
        found = []
        for raw_name, due in names:
            entry = self._read(raw_name)
            if entry is None:
                self._redis.zrem(self._keys.periodic_times, raw_name)
            else:
                found.append((entry, int(due)))
        return found

    def advance(self, name: str, due_ms: int, next_ms: int) -> bool:
        """An entry was submitted; False when another scheduler said so before."""
        return bool(self._advance(keys=[self._keys.periodic_times], args=[name, due_ms, next_ms]))

    def now_ms(self) -> int:
        """Redis's clock."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def _read(self, name: bytes) -> Periodic | None:
        known_as = name.decode(errors="replace")
        raw = cast("bytes | None", self._redis.hget(self._keys.periodic, known_as))
        try:
            entry = None if raw is None else Periodic(**orjson.loads(raw))
        except (TypeError, ValueError, ConfigurationError):
            return None
        return entry if entry is not None and entry.name == known_as else None
