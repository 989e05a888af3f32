"""Every named crash point: a process ends exactly there, and no call is lost or recorded twice (B-4)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_broker_config.crash import CANVAS_POINTS, CRASH_POINTS, HOUSEKEEPING_POINTS, PIPELINE_POINTS
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import ClaimState, ClaimTerms
from penstock_scheduler import Producer
from tests.chaos.feed import known_jobs
from tests.chaos.stage import CALLS, RUNS, Stage
from tests.chaos.witness import FAILED_ATTEMPTS, executions
from tests.support.gate import Gate
from tests.support.redis_server import RedisServer, missing_redis
from tests.support.waiting import wait_until

#: Calls of `limited`, each of which works for some 20 ms, in batches that take several times a short lease.
MANY = 90
#: Points that only batches meet which take long, or are given back.
RENEWALS = ("worker.before_renew", "worker.after_renew")
RELEASES = ("worker.before_release", "worker.after_release")


@pytest.fixture
def stage(durable_redis: RedisServer, tmp_path: Path) -> Iterator[Stage]:
    """The stage of one test."""
    with ExitStack() as stack:
        yield Stage(durable_redis, tmp_path, stack)


def points(who: str) -> list[str]:
    """The crash points of one kind of process that one run of it reaches, but for those of pipelines."""
    alone = {*RENEWALS, *RELEASES, "producer.after_replay"}
    alone |= {*PIPELINE_POINTS, *CANVAS_POINTS, *HOUSEKEEPING_POINTS}
    return [point for point in CRASH_POINTS if point.startswith(f"{who}.") and point not in alone]


@pytest.fixture(scope="module")
def audience(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage with a worker and a scheduler, for producers that come and go."""
    if (missing := missing_redis()) is not None:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("audience")
    with RedisServer(folder / "redis", durability="always", shared=True) as server, ExitStack() as stack:
        stage = Stage(server, folder, stack, shared=True)
        stage.worker()
        stage.scheduler()
        yield stage


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", points("producer"))
def test_B4_a_producer_may_end_anywhere(audience: Stage, tmp_path: Path, point: str, run: int) -> None:
    """Submitting again under the same key is safe, and a doorbell that was not rung is rung by the reaper."""
    folder = tmp_path / f"{point}-{run}"
    folder.mkdir()
    audience.marker = folder / "crashed"
    before = audience.client.zcard(Keys().jobs)

    crashed = audience.feed(folder, point).start()
    status = crashed.wait(60)
    crashed.close()
    again = audience.feed(folder).start()
    again.wait(60)
    again.close()

    jobs = known_jobs(folder)
    for job in jobs.values():
        audience.finished(job)
    assert status == -signal.SIGKILL
    assert sorted(jobs) == list(range(CALLS))
    # Beside the calls: the map, and the call that was cancelled. A map that nobody has heard of is empty.
    more = audience.client.zcard(Keys().jobs) - before - CALLS - 2
    assert more == 0 or (more == 1 and ("open" in point or "seal" in point)), "a call was accepted twice"
    audience.count(jobs)


#: Calls in whose batches a pool process ends, in turns: the rarer callers of each script among them.
KINDS = ("stretch", "limited", "tried again", "formed")


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", points("worker"))
def test_B4_a_pool_process_may_end_anywhere(stage: Stage, point: str, run: int) -> None:
    """Batches are claimed again, what is recorded is skipped, nothing is recorded twice."""
    kind = "stretch" if point == "worker.after_next_claim" else KINDS[run % len(KINDS)]
    stage.worker(point)
    job = stage.submit(kind)
    stage.scheduler()

    stage.finished(job)

    record = stage.ledger.job(job)
    named = [i for c in stage.ledger.completions(job)[1] for i in c.indexes]
    seen = executions(stage.folder / "witness.log")
    fails = kind == "tried again"
    assert stage.marker.exists(), "the crash point was not reached"
    assert (record.done, record.failed) == ((0, CALLS) if fails else (CALLS, 0))
    assert sorted(named) == list(range(CALLS))
    assert set(seen) == set(range(CALLS))
    assert min(seen.values()) >= (FAILED_ATTEMPTS if fails else 1)
    if not fails and point in {"worker.after_commit", "worker.after_next_claim"}:
        assert max(seen.values()) == 1, "what was recorded ran again"


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", RENEWALS)
def test_B4_a_pool_process_may_end_where_it_renews_its_lease(stage: Stage, point: str, run: int) -> None:
    """Also that of a limited batch, whose slot is renewed with it."""
    stage.worker(point, PENSTOCK_LEASE_S="0.5")
    if run % 2:
        job = stage.submit_waiting("limited", limited=True, count=MANY)
    else:
        job = stage.submit_silently("limited", count=MANY)
    stage.scheduler()

    stage.finished(job)

    assert stage.marker.exists(), "the crash point was not reached"
    assert stage.ledger.job(job).done == MANY


@pytest.mark.parametrize("run", range(RUNS))
def test_B4_a_replay_may_end_before_its_letter_is_dropped(stage: Stage, run: int) -> None:
    """Replaying it again gives the same job."""
    stage.submit_silently(count=1)
    first = ClaimTerms(holder="gone:1:1#1", lease_s=60.0, max_attempts=1)
    stage.ledger.claim("j.0", first)
    claim = stage.ledger.claim("j.0", replace(first, holder="gone:1:1#2", takeover=first.holder))
    assert claim.state is ClaimState.GONE
    command = (sys.executable, "-P", "-m", "penstock", "dead-letters", "replay", "j.0")

    with stage.process(command, "producer.after_replay") as crashed:
        status = crashed.wait(60)
    with stage.process(command) as again:
        done = again.wait(60)

    assert (status, done) == (-signal.SIGKILL, 0), again.tail()
    assert stage.client.zcard(Keys().jobs) == 2
    assert stage.client.zcard(Keys().dead) == 0


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", RELEASES)
def test_B4_a_worker_may_end_while_it_gives_a_batch_back(stage: Stage, point: str, run: int) -> None:
    """The next worker finds the batch by its lease's end."""
    with Gate(stage.folder / "gate") as gate:
        worker = stage.worker(point, PENSTOCK_GUEST_LOG_FILE=str(gate.path))
        stage.scheduler()
        job = stage.submit_silently(count=200)
        wait_until(lambda: gate.reached, 30, "the batch runs")

        worker.signal(signal.SIGTERM)
        worker.wait_for_log("Warm shutdown")
        gate.open()
        worker.wait(60)
    stage.worker()
    stage.finished(job)

    assert stage.marker.exists(), "the crash point was not reached"
    assert stage.ledger.job(job).done == 200


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", points("scheduler"))
def test_B4_a_scheduler_may_end_anywhere(stage: Stage, point: str, run: int) -> None:
    """The next one rings after the back-off."""
    stage.worker()
    job = stage.submit_waiting(limited=run % 2 == 1) if "dispatch" in point else stage.submit_silently()

    crashed = stage.scheduler(point)
    status = crashed.wait(60)
    stage.scheduler()
    stage.finished(job)

    assert status == -signal.SIGKILL
    assert stage.ledger.job(job).done == CALLS


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", points("operator"))
def test_B2_an_operator_may_end_while_a_limit_is_set(stage: Stage, point: str, run: int) -> None:
    """All figures of a change hold, or none; saying it again is safe."""
    figures = (
        "--concurrency",
        "4",
        "--rate",
        "10/s",
        "--burst",
        "20",
        "--weight",
        "2",
        "--pause-until",
        "1h",
    )
    command = (sys.executable, "-P", "-m", "penstock", "limits", "set", "api", *figures)

    with stage.process(command, point) as crashed:
        status = crashed.wait(60)
    kept, weights = stage.ledger.limits(), stage.client.hgetall(Keys().weights)
    with stage.process(command) as again:
        done = again.wait(60)
    (state,) = stage.ledger.limits()

    assert (status, done) == (-signal.SIGKILL, 0), again.tail()
    assert len(kept) == len(weights) == (1 if point == "operator.after_limit" else 0)
    for one in (*kept, state):
        assert (one.concurrency, one.rate_per_s, one.burst, one.set_by_operator) == (4.0, 10.0, 20.0, True)
        assert one.paused_until_ms is not None
    assert stage.client.hgetall(Keys().weights) == {b"key:api": b"2.0"}


@pytest.mark.parametrize("run", range(RUNS))
def test_E4_a_tool_that_may_run_once_only_is_never_run_twice(stage: Stage, run: int) -> None:
    """Its worker is lost after the call: the call ends INTERRUPTED, and the witness saw it once."""
    stage.worker("worker.before_commit")
    stage.scheduler()

    job = stage.submit_silently("once")
    stage.finished(job)

    record = stage.ledger.job(job)
    assert stage.marker.exists(), "the crash point was not reached"
    assert (record.done, record.failed) == (CALLS - 1, 1)
    assert set(executions(stage.folder / "witness.log").values()) == {1}
    with Producer.connect(stage.broker.url) as producer:
        (interrupted,) = [r for r in producer.job(job).results() if r.error is not None]
    assert interrupted.error is not None
    assert interrupted.error.code == "INTERRUPTED"
