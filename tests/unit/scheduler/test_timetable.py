"""When periodic submissions are due, and what becomes of times that passed unseen."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from penstock_plugins.errors import ConfigurationError
from penstock_scheduler.beat import LATE_MS, MOST_AT_ONCE, times_to_run
from penstock_scheduler.timetable import CatchUp, Periodic

MINUTE_MS = 60_000


def at(text: str, zone: str = "UTC") -> int:
    """A time of day in some zone, as milliseconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def every_minute(catch_up: CatchUp) -> Periodic:
    """Due each minute."""
    return Periodic(name="p", tool="a.b", every_s=60, catch_up=catch_up)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "due"),
    [
        ("*/5 * * * *", "UTC", "2026-11-21T10:02:30", "2026-11-21T10:05"),
        ("0 8 * * mon-fri", "UTC", "2026-11-20T08:00", "2026-11-23T08:00"),
        ("30 2 1 * *", "UTC", "2026-11-21T10:00", "2026-12-01T02:30"),
        ("0 12 * * *", "Europe/Berlin", "2026-11-21T12:00", "2026-11-22T12:00"),
        ("0 12 * * *", "Asia/Tokyo", "2026-11-21T11:59:59", "2026-11-21T12:00"),
    ],
)
def test_a_cron_line_counts_days_as_its_time_zone_does(cron: str, zone: str, after: str, due: str) -> None:
    """Minute, hour, day of the month, month, day of the week."""
    entry = Periodic(name="p", tool="a.b", cron=cron, timezone=zone)

    assert entry.next_after(at(after, zone)) == at(due, zone)


def test_times_go_on_over_both_changes_of_the_clock() -> None:
    """Each is later than the one before it, and none is a day and an hour late."""
    entry = Periodic(name="p", tool="a.b", cron="30 2 * * *", timezone="Europe/Berlin")
    for start in ("2026-03-27T12:00", "2026-10-23T12:00"):
        moment = at(start, "Europe/Berlin")
        for _ in range(5):
            following = entry.next_after(moment)
            assert moment < following <= moment + 26 * 3_600_000
            moment = following


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"cron": "* * * * *", "every_s": 5},
        {"cron": "* * *"},
        {"cron": "61 * * * *"},
        {"every_s": 0.1},
        {"every_s": 5, "timezone": "Mars/Olympus"},
        {"every_s": 5, "catch_up": "maybe"},
        {"every_s": 5, "name": ""},
        {"every_s": 5, "name": "a\nb"},
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any]) -> None:
    """When it is made, in words."""
    with pytest.raises(ConfigurationError):
        Periodic(**{"name": "p", "tool": "a.b", **given})


@pytest.mark.parametrize(("catch_up", "runs"), [("skip", []), ("last", [4]), ("all", [0, 1, 2, 3, 4])])
def test_times_that_passed_unseen_are_caught_up_as_configured(catch_up: CatchUp, runs: list[int]) -> None:
    """Not at all, once, or each."""
    now = 4 * MINUTE_MS + LATE_MS + 1 - MINUTE_MS // 2

    wanted, following = times_to_run(every_minute(catch_up), 0, now)
    late, _ = times_to_run(every_minute(catch_up), 0, 4 * MINUTE_MS + MINUTE_MS // 2)

    expected = [4 * MINUTE_MS] if catch_up == "skip" else [run * MINUTE_MS for run in runs]
    assert late == expected, "a time that is merely late is run in any case"
    assert following == 5 * MINUTE_MS
    assert wanted == expected


def test_times_that_are_missed_for_good_are_skipped() -> None:
    """An hour later nobody wants them."""
    hourly = Periodic(name="p", tool="a.b", every_s=3600, catch_up="skip")

    wanted, following = times_to_run(hourly, 0, 3_600_000 * 3 - MINUTE_MS)

    assert (wanted, following) == ([], 3_600_000 * 3)


def test_many_missed_times_are_caught_up_in_steps() -> None:
    """So that other entries have theirs."""
    wanted, following = times_to_run(every_minute("all"), 0, 1000 * MINUTE_MS)

    assert len(wanted) == MOST_AT_ONCE
    assert following == MOST_AT_ONCE * MINUTE_MS
