"""Every crash point of periodic submissions, large values, collections: nothing twice, nothing for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock_broker_config.crash import HOUSEKEEPING_POINTS
from penstock_broker_config.envelope_reading import read_calls
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import ClaimState
from penstock_broker_config.redis_artifacts import RedisArtifacts
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.removal import Removal
from penstock_broker_config.values import ORPHAN_MS, RedisValues, UrlValues, Values
from penstock_scheduler import Producer
from penstock_scheduler.timetable import Periodic, Timetable
from tests.chaos import large
from tests.chaos.desk import Desk
from tests.chaos.stage import RUNS, Stage
from tests.support.brokers import Broker
from tests.support.lab import publish_lab
from tests.support.ledger_values import terms
from tests.support.ledger_worker import publish
from tests.support.penstock_processes import Scheduler
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

KEYS = Keys()
#: Times of a periodic submission that have passed when a scheduler looks.
TIMES = 4
#: Plugins, and jobs, that are no more.
GONE = ("past", "gone")


@pytest.fixture
def desk(redis_server: RedisServer, tmp_path: Path) -> Iterator[Desk]:
    """At an empty Redis; nothing else runs."""
    with redis_server.client() as client:
        yield Desk(client, redis_server.url, tmp_path)


def points(who: str) -> list[str]:
    """The points of one kind."""
    return [point for point in HOUSEKEEPING_POINTS if point.startswith(f"{who}.")]


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", points("scheduler"))
def test_B4_a_scheduler_may_end_around_a_periodic_submission(
    desk: Desk, redis_server: RedisServer, point: str, run: int
) -> None:
    """The next one submits each time that is left, and none twice."""
    publish(desk.client, "double")
    timetable = Timetable(desk.client, KEYS)
    timetable.put(Periodic(name="p", tool="demo.double", every_s=3600, catch_up="all"))
    desk.client.zadd(KEYS.periodic_times, {"p": desk.hours_ago(TIMES - 1)})
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)

    with Scheduler(broker=broker, folder=desk.folder, environment={"PENSTOCK_CRASH_AT": point}) as crashed:
        crashed.wait(60)
    left = len(timetable.due(timetable.now_ms()))
    with Scheduler(broker=broker, folder=desk.folder):
        wait_until(lambda: not timetable.due(timetable.now_ms()), 60, "nothing is due")

    assert left == (0 if point == "scheduler.after_advance" else 1)
    assert desk.client.zcard(KEYS.jobs) == len(list(desk.client.scan_iter(f"{KEYS.prefix}i:*"))) == TIMES
    ((_, due_ms),) = timetable.entries()
    assert due_ms > timetable.now_ms()


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", points("value"))
def test_B4_a_producer_may_end_while_it_puts_a_large_value_aside(desk: Desk, point: str, run: int) -> None:
    """Submitted again it is whole; what nobody refers to goes. In Redis, and under a URL."""
    publish(desk.client, "double")
    url = f"file://{desk.folder / 'values'}"
    values: Values = UrlValues(url) if run % 2 else RedisValues(desk.client, KEYS)
    desk = Desk(desk.client, desk.url, desk.folder, {"PENSTOCK_VALUES_URL": url} if run % 2 else {})

    desk.run("tests.chaos.large", "key", armed=point)
    accepted = desk.client.zcard(KEYS.jobs)
    for _ in range(2):
        desk.run("tests.chaos.large", "key")

    ((name, _),) = desk.client.zscan_iter(KEYS.jobs)
    job = name.decode()
    claim = desk.ledger.claim(f"{job}.0", terms())
    (call,) = read_calls(claim.calls)
    assert accepted == 0
    assert claim.state is ClaimState.GRANTED
    if run % 2:
        desk.run("tests.chaos.turn", "2")
        assert len(list((desk.folder / "values").iterdir())) == 1
    for key in desk.client.scan_iter(f"{KEYS.prefix}j:*:v"):
        assert (0 < desk.client.pttl(key) <= ORPHAN_MS) == (key.decode() != KEYS.values(job))
    assert json.loads(values.get(job, call.params.encode())) == large.params()


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", points("value"))
def test_B4_a_pool_process_may_end_while_it_puts_a_large_result_aside(
    durable_redis: RedisServer, tmp_path: Path, point: str, run: int
) -> None:
    """The call runs again, and its result is whole."""
    params = {"text": "x" * large.SIZE}
    with ExitStack() as stack:
        stage = Stage(durable_redis, tmp_path, stack)
        publish_lab(stage.client)
        stage.worker(point)
        stage.scheduler()
        with Producer.connect(stage.broker.url) as producer:
            job = producer.submit("lab.echo", params)
            result = job.result(wait_s=60)

        assert stage.marker.exists(), "the crash point was not reached"
        assert result.data == params
        assert (job.record().done, job.record().failed) == (1, 0)


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", [point for point in points("collector") if "values" not in point])
def test_B4_whoever_collects_may_end_anywhere(desk: Desk, point: str, run: int) -> None:
    """An operator, or a scheduler: who collects next does the rest, and what is in use stays whole."""
    catalog, artifacts = RedisCatalog(desk.client, KEYS), RedisArtifacts(desk.client, KEYS)
    digests = {name: publish(desk.client, "double", plugin=name).digest for name in ("here", "used", *GONE)}
    for name, digest in digests.items():
        artifacts.offer(native_code_of(digest), b"code")
        desk.client.hset(KEYS.costs, f"{digest}:{name}.double", 5)
        if name != "here":
            Removal(desk.client, KEYS).remove(name, "1.0.0")
            record = desk.client.hget(KEYS.catalog_removed, digest)
            assert isinstance(record, bytes)
            desk.client.hset(KEYS.catalog_removed, digest, b"1 " + record.partition(b" ")[2])  # long ago
    desk.ledger.open_job("j", tool="used.double", digest=digests["used"], tenant="t", queue="q")

    if run % 2:
        desk.run("tests.chaos.turn", "1", armed=point)
    else:
        desk.crash_cli(point, "plugin", "gc")
    again = desk.cli("plugin", "gc", "--json")

    wanted = {digests[name] for name in ("here", "used")}
    gone = [digest for name, digest in digests.items() if name in GONE]
    assert (again.code, again.json["kept"]) == (0, ["used@1.0.0"])
    assert {digest for digest in digests.values() if artifacts.fetch(native_code_of(digest))} == wanted
    assert desk.client.zcard(KEYS.artifacts) == desk.client.hlen(KEYS.costs) == len(wanted)
    assert {catalog.fetch(digest).digest for digest in wanted} == wanted
    assert [key for digest in gone for key in desk.client.scan_iter(f"*{digest[:16]}*")] == []
    assert desk.client.hkeys(KEYS.catalog_removed) == [digests["used"].encode()]


@pytest.mark.parametrize("run", range(RUNS))
def test_B4_a_scheduler_may_end_while_it_collects_large_values(desk: Desk, run: int) -> None:
    """Those of a job that is there stay; of the others none stays for ever."""
    root = desk.folder / "values"
    desk = Desk(desk.client, desk.url, desk.folder, {"PENSTOCK_VALUES_URL": f"file://{root}"})
    values = UrlValues(f"file://{root}")
    kept, *_ = (values.put(job, b"value") for job in ("live", *GONE))
    desk.ledger.open_job("live", tool="demo.double", digest="d" * 64, tenant="t", queue="q")

    desk.run("tests.chaos.turn", "2", armed="collector.after_values")
    left = len(list(root.iterdir()))
    desk.run("tests.chaos.turn", "2")

    assert left == len(GONE)  # one of them went
    assert len(list(root.iterdir())) == 1
    assert values.get("live", kept) == b"value"


def native_code_of(digest: str) -> str:
    """The name of native code that was made of a bundle."""
    return f"{digest[:16]}-{'0' * 32}"
