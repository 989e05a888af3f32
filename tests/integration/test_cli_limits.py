"""`penstock limits`: set, seen and taken back while a system runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Ledger
from tests.support.clocks import skewed
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
    assert "4 at once, 10 calls/s, weight 2" in set_.out
    assert "paused for 1" in paused.out
    assert "the operator" in shown.out
    (state,) = listed.json
    figures = {name: state[name] for name in ("key", "concurrency", "rate_per_s", "burst", "weight")}
    assert figures == {"key": "api", "concurrency": 4.0, "rate_per_s": 10.0, "burst": 20.0, "weight": 2.0}
    (state,) = penstock("limits", "--json").json
    assert (state["set_by_operator"], state["weight"]) == (False, 1.0)
    assert "the plugin" not in penstock("limits").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("api",), "say what to change"),
        (("api", "-c", "many"), "whole number"),
        (("api", "-c", "-1"), "whole number"),
        (("api", "-c", "9" * 5000), "whole number"),
        (("api", "--rate", "fast"), "10/s"),
        (("api", "--burst", "0"), "whole number from 1"),
        (("api", "--pause-until", "soon"), "15m"),
        (("api", "--pause-until", "0001-01-01"), "15m"),
        (("api", "--pause-until", "9999-12-31T23:59"), "15m"),
        (("api", "--pause-until", "15m", "--resume"), "not both"),
        (("tool:text.slug", "--weight", "2"), "tenant:NAME or a batch key"),
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


def test_B2_a_pause_from_now_counts_from_the_time_that_redis_has(
    penstock: CommandLine, redis_server: RedisServer
) -> None:
    """The clock of the operator's machine, here an hour ahead, has no say in it."""
    fast = CommandLine(penstock.folder, {**penstock.environment, **skewed(3600)})
    with redis_server.client() as client:
        before_ms = Ledger(client, Keys()).clock_ms()
        done = fast("limits", "set", "api", "--pause-until", "15m", "--json")

    assert 0 <= done.json["paused_until_ms"] - before_ms - 900_000 < 60_000
    assert 0 < done.json["paused_for_ms"] <= 900_000
