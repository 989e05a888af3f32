"""Submits what is due by the timetable: each time once, however many schedulers look.

A time is submitted under an idempotency key that names it, and only then is the entry moved on. So a
scheduler that ends between the two leaves a time behind that the next one submits again, to no effect.
"""

from __future__ import annotations

import logging

from penstock_broker_config import crash
from penstock_plugins.errors import OverloadedError, PenstockError, UnreachableError
from penstock_scheduler.producer import Producer
from penstock_scheduler.timetable import Periodic, Timetable

logger = logging.getLogger(__name__)

#: Times of one entry that are caught up in one step at most, so that the others have theirs.
MOST_AT_ONCE = 100
#: A time that is past for no longer is not missed, but merely late.
LATE_MS = 60_000


class Beat:
    """Looks at the timetable, a step at a time."""

    def __init__(self, timetable: Timetable, producer: Producer) -> None:
        self._timetable = timetable
        self._producer = producer

    def step(self) -> int:
        """Submit what is due. Returns how many calls were.

        Raises:
            redis.RedisError: the store does not answer.
        """
        now_ms, submitted = self._timetable.now_ms(), 0
        for entry, due_ms in self._timetable.due(now_ms):
            wanted, next_ms = times_to_run(entry, due_ms, now_ms)
            try:
                for moment_ms in wanted:
                    crash.reach("scheduler.before_periodic")
                    self._submit(entry, moment_ms)
                    crash.reach("scheduler.after_periodic")
                    submitted += 1
            except (UnreachableError, OverloadedError) as error:
                logger.warning("%s is due and waits: %s", entry.name, error, extra={"action": "beat_waits"})
                continue
            except PenstockError as error:
                # Its next time may find the tool published, or the entry put right.
                logger.error("%s is not submitted: %s", entry.name, error, extra={"action": "beat_refused"})  # noqa: TRY400
            self._timetable.advance(entry.name, due_ms, next_ms)
            crash.reach("scheduler.after_advance")
        return submitted

    def _submit(self, entry: Periodic, moment_ms: int) -> None:
        self._producer.submit(
            entry.tool,
            entry.params,
            idempotency_key=f"periodic:{entry.name}:{moment_ms}",
            queue=entry.queue,
            tenant=entry.tenant,
            batch_key=entry.batch_key,
        )


def times_to_run(entry: Periodic, due_ms: int, now_ms: int) -> tuple[list[int], int]:
    """Which of the times from `due_ms` on are submitted now, and which one comes next. Pure."""
    times, moment_ms = [due_ms], entry.next_after(due_ms)
    while moment_ms <= now_ms:
        if entry.catch_up == "all" and len(times) == MOST_AT_ONCE:
            return times, moment_ms
        times.append(moment_ms)
        if entry.catch_up != "all":
            times = times[-1:]
        moment_ms = entry.next_after(moment_ms)
    if entry.catch_up == "skip" and now_ms - times[-1] > LATE_MS:
        return [], moment_ms
    return times, moment_ms
