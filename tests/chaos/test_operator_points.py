"""Every crash point of what operators do: all of a change holds, or nothing, and saying it again is safe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_broker_config.collector import Collector
from penstock_broker_config.crash import CRASH_POINTS
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import ClaimState, JobState, LimitChange
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_scheduler.timetable import Periodic, Timetable
from tests.chaos.desk import Desk
from tests.chaos.stage import RUNS
from tests.support.lab import lab_bundle
from tests.support.ledger_values import calls, header, terms
from tests.support.ledger_worker import publish
from tests.support.redis_server import RedisServer

KEYS = Keys()


@pytest.fixture
def desk(redis_server: RedisServer, tmp_path: Path) -> Iterator[Desk]:
    """At an empty Redis; nothing else runs."""
    with redis_server.client() as client:
        yield Desk(client, redis_server.url, tmp_path)


def of(*names: str) -> list[str]:
    """The points `operator.…_NAME` and `producer.…_NAME`."""
    found = [p for p in CRASH_POINTS if p.startswith(("operator.", "producer."))]
    return [point for point in found if point.partition(".")[2].partition("_")[2] in names]


def is_done(point: str) -> bool:
    """Whether the change holds when a process ends there."""
    return ".after_" in point


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", of("clear"))
def test_B2_an_operator_may_end_while_a_limit_is_taken_back(desk: Desk, point: str, run: int) -> None:
    """Its figures and its weight go together."""
    desk.ledger.change_limit("api", LimitChange(concurrency=4.0, rate_per_s=10.0, weight=2.0))

    desk.crash_cli(point, "limits", "clear", "api")
    kept = [(s.set_by_operator, s.concurrency, s.rate_per_s, s.weight) for s in desk.ledger.limits()]
    again = desk.cli("limits", "clear", "api")

    whole = (True, 4.0, 10.0, 2.0)
    assert kept in ([], [(False, None, None, 1.0)]) if is_done(point) else kept == [whole]
    assert again.code == 0
    assert not any(state.set_by_operator for state in desk.ledger.limits())
    assert desk.client.exists(KEYS.weights) == 0


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", ["operator.before_cancel", "operator.after_cancel"])
def test_B4_an_operator_may_end_while_a_job_is_cancelled(desk: Desk, point: str, run: int) -> None:
    """It goes on as if nothing had been said, or has ended."""
    desk.ledger.submit(header("j"), calls(0, 3), base=0, total=3)

    desk.crash_cli(point, "job", "cancel", "j")
    state = desk.ledger.job("j").state
    again = desk.cli("job", "cancel", "j", "--json")

    assert (state is JobState.CANCELLED) == is_done(point)
    assert again.json == {"job": "j", "cancelled": not is_done(point), "state": "cancelled"}
    assert desk.ledger.claim("j.0", terms()).state is ClaimState.GONE


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", of("schedule"))
def test_B4_an_operator_may_end_while_a_call_is_scheduled(desk: Desk, point: str, run: int) -> None:
    """One entry, with its time."""
    publish(desk.client, "double")
    timetable = Timetable(desk.client, KEYS)
    command = ("schedule", "add", "p", "demo.double", "n=1", "--every", "1h")

    desk.crash_cli(point, *command)
    kept = timetable.entries()
    again = desk.cli(*command)

    assert len(kept) == is_done(point)
    assert again.code == 0, again.err
    assert len(timetable.entries()) == desk.client.hlen(KEYS.periodic) == 1


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", of("unschedule"))
def test_B4_an_operator_may_end_while_an_entry_is_removed(desk: Desk, point: str, run: int) -> None:
    """No time without an entry, no entry without a time."""
    timetable = Timetable(desk.client, KEYS)
    timetable.put(Periodic(name="p", tool="demo.double", every_s=3600))

    desk.crash_cli(point, "schedule", "remove", "p")
    kept = (len(timetable.entries()), desk.client.hlen(KEYS.periodic))
    again = desk.cli("schedule", "remove", "p")

    assert kept == ((0, 0) if is_done(point) else (1, 1))
    assert again.code == (1 if is_done(point) else 0)
    assert desk.client.exists(KEYS.periodic, KEYS.periodic_times) == 0


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", of("drop"))
def test_B4_an_operator_may_end_while_dead_letters_are_dropped(desk: Desk, point: str, run: int) -> None:
    """All that one command names, or none of them."""
    for number, job in enumerate(("one", "two")):
        desk.ledger.submit(header(job), calls(0, 1), base=0, total=1)
        desk.ledger.claim(f"{job}.0", terms(f"h{number}", max_attempts=1))
        desk.ledger.claim(f"{job}.0", terms("h9", max_attempts=1, takeover=f"h{number}"))
    assert desk.client.zcard(KEYS.dead) == 2

    desk.crash_cli(point, "dead-letters", "drop", "--all", "--yes")
    kept = (
        desk.client.zcard(KEYS.dead),
        desk.client.exists(*(KEYS.dead_letter(f"{j}.0") for j in ("one", "two"))),
    )
    again = desk.cli("dead-letters", "drop", "--all", "--yes", "--json")

    assert kept == ((0, 0) if is_done(point) else (2, 2))
    assert again.json == {"dropped": 0 if is_done(point) else 2}
    assert list(desk.client.scan_iter(f"{KEYS.prefix}dead*")) == []


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", of("publish", "upload"))
def test_B4_an_operator_may_end_while_a_plugin_is_published(desk: Desk, point: str, run: int) -> None:
    """It is not there or it is whole; what was sent for nothing expires."""
    folder, catalog = desk.folder / "lab", RedisCatalog(desk.client, KEYS)
    folder.mkdir()
    for name, content in lab_bundle().files.items():
        (folder / name).write_bytes(content)
    command = ("plugin", "publish", folder, "--no-call")

    desk.crash_cli(point, *command)
    kept = [record.name for record in catalog.records()]
    again = desk.cli(*command)

    (record,) = catalog.records()
    files = {KEYS.catalog_file(record.digest, name).encode() for name in lab_bundle().files}
    lasting = {key for key in desk.client.scan_iter(f"{KEYS.prefix}catalog:*:*") if desk.client.ttl(key) < 0}
    assert kept == (["lab"] if point == "operator.after_publish" else [])
    assert again.code == 0, again.err
    assert catalog.fetch(record.digest) == lab_bundle()
    assert lasting == files


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", of("remove"))
def test_B4_an_operator_may_end_while_a_plugin_is_removed(desk: Desk, point: str, run: int) -> None:
    """Removing it again does what was left to do. By force its files go at once, else they are collected."""
    force = run % 2 == 1
    digest = publish(desk.client, "double").digest
    catalog, command = RedisCatalog(desk.client, KEYS), ["plugin", "remove", "demo@1.0.0", "--json"]
    if force:
        command.append("--force")
        desk.ledger.open_job("j", tool="demo.double", digest=digest, tenant="t", queue="penstock.default")

    desk.crash_cli(point, *command)
    kept, bundle = len(catalog.records()), catalog.fetch(digest)
    again = desk.cli(*command)

    assert (kept, bundle.digest) == (0 if is_done(point) else 1, digest)
    assert (again.code, again.json["open_jobs"]) == (0, int(force)), again.err
    assert catalog.records() == []
    assert desk.client.exists(KEYS.catalog_file(digest, "plugin.wasm")) == (0 if force else 1)
    assert Collector(desk.client, KEYS, grace_s=0).collect().plugins == (() if force else ("demo@1.0.0",))
    assert set(desk.client.scan_iter(f"{KEYS.prefix}catalog*")) == {KEYS.catalog_version.encode()}
