"""`penstock limits`: set, seen and taken back while a system runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.redis_server import RedisServer


@pytest.fixture
def penstock(redis_server: RedisServer, tmp_path: Path) -> CommandLine:
    """The command line on the test's Redis, which is empty."""
    with redis_server.client() as client:
        client.flushall()
    return CommandLine(tmp_path, {"PENSTOCK_REDIS_URL": redis_server.url})


def test_B2_a_limit_is_set_seen_and_taken_back(penstock: CommandLine) -> None:
    """In tables for people, and in JSON for scripts."""
    empty = penstock("limits")
    set_ = penstock("limits", "set", "api", "-c", "4", "--rate", "600/min", "--burst", "20", "--weight", "2")
    paused = penstock("limits", "set", "api", "--pause-until", "15m")
    shown, listed = penstock("limits"), penstock("limits", "--json")
    cleared = penstock("limits", "clear", "api")

    assert [done.code for done in (empty, set_, paused, shown, listed, cleared)] == [0] * 6
    assert "No limit is set" in empty.out
    assert "4 at once, 10 calls/s" in set_.out
    assert "paused for 1" in paused.out
    assert "the operator" in shown.out
    (state,) = listed.json
    assert (state["key"], state["concurrency"], state["rate_per_s"], state["burst"]) == (
        "api",
        4.0,
        10.0,
        20.0,
    )
    assert penstock("limits", "--json").json[0]["set_by_operator"] is False


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("api",), "say what to change"),
        (("api", "-c", "many"), "whole number"),
        (("api", "-c", "-1"), "whole number"),
        (("api", "--rate", "fast"), "10/s"),
        (("api", "--burst", "0"), "whole number from 1"),
        (("api", "--pause-until", "soon"), "15m"),
        (("api", "--pause-until", "15m", "--resume"), "not both"),
        (("", "-c", "1"), "characters"),
        (("a\nb", "-c", "1"), "line breaks"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    penstock: CommandLine, arguments: tuple[str, ...], says: str
) -> None:
    """As wrong usage, before anything is asked."""
    done = penstock("limits", "set", *arguments)

    assert done.code == 2
    assert says in done.err


def test_none_takes_a_declared_limit_away(penstock: CommandLine) -> None:
    """And a pause ends at once."""
    penstock("limits", "set", "api", "-c", "none", "--rate", "none", "--pause-until", "2099-01-01T00:00")
    before = penstock("limits", "--json").json[0]
    after = penstock("limits", "set", "api", "--resume", "--json").json

    assert (before["concurrency"], before["rate_per_s"]) == (None, None)
    assert before["paused_until_ms"] > 0
    assert after["paused_until_ms"] is None
