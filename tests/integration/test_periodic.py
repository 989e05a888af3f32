"""Periodic submissions: each time once, however many schedulers look and whatever ends in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.settings import load_settings
from penstock_scheduler import Producer
from penstock_scheduler.beat import Beat
from penstock_scheduler.timetable import Periodic, Timetable
from tests.support.brokers import Broker
from tests.support.command_line import CommandLine
from tests.support.penstock_processes import Scheduler
from tests.support.publishing import publish_shipped
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

ENTRY = Periodic(name="p", tool="text.slug", params={"text": "x"}, every_s=3600, catch_up="all")


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the test's Redis, which has the plugin `text` and nothing else."""
    with redis_server.client() as client:
        client.flushall()
        publish_shipped(redis_server, "text")
        yield client


@pytest.fixture
def timetable(client: redis.Redis) -> Timetable:
    """The timetable of the test's system."""
    return Timetable(client, Keys())


@pytest.fixture
def producer(redis_server: RedisServer, client: redis.Redis) -> Iterator[Producer]:
    """A producer of the test's system."""
    with Producer(load_settings(broker_url=redis_server.url)) as producer:
        yield producer


def make_due(client: redis.Redis, hours_ago: int) -> int:
    """As if nobody had looked for hours."""
    seconds, _ = client.time()
    due = seconds * 1000 - hours_ago * 3_600_000
    client.zadd(Keys().periodic_times, {ENTRY.name: due})
    return due


def test_each_time_is_submitted_once_over_all_schedulers(
    client: redis.Redis, timetable: Timetable, producer: Producer
) -> None:
    """Both look at the same moment; the second finds the first one's jobs."""
    timetable.put(ENTRY)
    make_due(client, 3)
    times = timetable.due(timetable.now_ms())

    first = Beat(timetable, producer).step()
    client.zadd(Keys().periodic_times, {ENTRY.name: times[0][1]})  # as the other one has seen it
    second = Beat(timetable, producer).step()

    assert (first, second) == (4, 4)
    assert len(producer.jobs()) == 4


def test_a_scheduler_that_ends_before_it_moves_on_changes_nothing(
    client: redis.Redis, timetable: Timetable, producer: Producer
) -> None:
    """Who says it second is told so."""
    timetable.put(ENTRY)
    due = make_due(client, 0)

    answers = [timetable.advance(ENTRY.name, due, due + n) for n in (1, 2)]

    assert answers == [True, False]
    assert timetable.entries()[0][1] == due + 1


def test_an_entry_that_cannot_be_submitted_holds_nobody_up(
    client: redis.Redis, timetable: Timetable, producer: Producer
) -> None:
    """Its tool is gone, or its record is damaged; the next one is submitted."""
    timetable.put(Periodic(name="gone", tool="no.tool", every_s=3600))
    timetable.put(ENTRY)
    client.hset(Keys().periodic, "damaged", b"\xff")
    for name in ("gone", "damaged", "p"):
        client.zadd(Keys().periodic_times, {name: 1})
    client.zadd(Keys().periodic_times, {"p": make_due(client, 0)})

    submitted = Beat(timetable, producer).step()

    assert submitted == 1
    assert timetable.due(timetable.now_ms()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"tool": 5},
        {"queue": 5},
        {"queue": "nosuch"},
        {"params": 7},
        {"timezone": None},
        {"every_s": None, "cron": 5},
        {"every_s": True},
        {"batch_key": ["k"]},
        {"tenant": ""},
        {"name": "another"},
        {"more": 1},
    ],
)
def test_no_scheduler_ends_because_of_a_damaged_entry(
    client: redis.Redis, timetable: Timetable, producer: Producer, wrong: dict[str, object]
) -> None:
    """Whoever wrote it; the next one is submitted."""
    good = {"name": "damaged", "tool": "text.slug", "params": {"text": "x"}, "every_s": 3600}
    client.hset(Keys().periodic, "damaged", orjson.dumps({**good, **wrong}))
    client.zadd(Keys().periodic_times, {"damaged": make_due(client, 1)})
    timetable.put(ENTRY)
    client.zadd(Keys().periodic_times, {"p": make_due(client, 0)})

    for _ in range(2):
        Beat(timetable, producer).step()

    assert timetable.due(timetable.now_ms()) == []


def test_schedulers_submit_what_the_operator_schedules(broker: Broker, tmp_path: Path) -> None:
    """By the command line, with two schedulers, on both brokers."""
    publish_shipped(broker.redis, "text")
    penstock = CommandLine(tmp_path, broker.environment)

    added = penstock("schedule", "add", "often", "text.slug", "text=x", "--every", "1s")
    with (
        Scheduler(broker=broker, folder=tmp_path / "s1", name="s1"),
        Scheduler(broker=broker, folder=tmp_path / "s2", name="s2"),
        broker.redis.client() as client,
    ):
        wait_until(lambda: client.zcard(Keys().jobs) >= 2, 30, "two times have passed")
        listed = penstock("schedule", "list", "--json")
        removed = penstock("schedule", "remove", "often")
    again = penstock("schedule", "remove", "often")

    with broker.redis.client() as client:
        jobs = client.zcard(Keys().jobs)
        keys = len(list(client.scan_iter(f"{Keys().prefix}i:*")))
    assert [done.code for done in (added, listed, removed, again)] == [0, 0, 0, 1]
    assert listed.json[0]["params"] == {"text": "x"}
    assert jobs == keys, "one time was submitted twice"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("p", "text.slug", "text=x"), "either"),
        (("p", "text.slug", "text=x", "--every", "soon"), "15m"),
        (("p", "text.slug", "text=x", "--cron", "* *"), "cron line"),
        (("p", "text.slug", "text=x", "--every", "5m", "--timezone", "Mars"), "time zone"),
        (("p", "text.slug", "text=x", "--every", "5m", "--catch-up", "some"), "catch_up"),
        (("p", "text.slug", "--every", "5m"), "text"),
        (("p", "no.tool", "--every", "5m"), "Unknown tool"),
        (("p", "text.slug", "text=x", "--every", "5m", "--queue", "nosuch"), "Unknown queue"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    client: redis.Redis, redis_server: RedisServer, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    """When it is added, with exit code 2."""
    done = CommandLine(tmp_path, {"PENSTOCK_REDIS_URL": redis_server.url})("schedule", "add", *arguments)

    assert done.code == 2
    assert says in done.err
