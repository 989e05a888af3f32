"""Every named crash point: a process ends exactly there, and no call is lost or recorded twice (B-4)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock_broker_config.crash import CRASH_POINTS
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    BatchHeader,
    Buffer,
    BufferedCall,
    CallEntry,
    JobState,
    Ledger,
)
from penstock_scheduler import Producer
from tests.chaos.witness import executions, publish_witness
from tests.support.brokers import Broker
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.processes import Process
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

CALLS = 12
SETTINGS = {
    "PENSTOCK_LEASE_S": "1",
    "PENSTOCK_RING_AFTER_S": "0.3",
    "PENSTOCK_RING_CAP_S": "1",
    "PENSTOCK_SOFT_SHUTDOWN_S": "20",
}


class Stage:
    """A durable Redis with the witness published, and processes that may be armed."""

    def __init__(self, redis_server: RedisServer, folder: Path, stack: ExitStack) -> None:
        self.broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
        self.folder = folder
        self.marker = folder / "crashed"
        self._stack = stack
        self._settings = {
            **SETTINGS,
            "PENSTOCK_GUEST_LOG_FILE": str(folder / "witness.log"),
            "PENSTOCK_CACHE_DIR": str(folder / "cache"),
        }
        self.client = stack.enter_context(redis_server.client())
        self.record = publish_witness(self.client, Keys())
        self.ledger = Ledger(self.client, Keys())

    def _environment(self, armed: str | None) -> dict[str, str]:
        """The crash happens once: the first process to create the marker is the one that ends."""
        return self._settings | ({"PENSTOCK_CRASH_AT": f"{armed}:{self.marker}"} if armed else {})

    def worker(self, armed: str | None = None) -> Worker:
        """Start a worker."""
        worker = Worker(broker=self.broker, folder=self.folder / "w", environment=self._environment(armed))
        return self._stack.enter_context(worker)

    def scheduler(self, armed: str | None = None) -> Scheduler:
        """Start a scheduler."""
        scheduler = Scheduler(
            broker=self.broker, folder=self.folder / "s", environment=self._environment(armed)
        )
        return self._stack.enter_context(scheduler)

    def feed(self, armed: str | None = None) -> Process:
        """Start a producer that submits `CALLS` single calls with a key each, and one empty map."""
        producer = Process(
            [sys.executable, "-m", "tests.chaos.feed", str(self.folder), str(CALLS), "0"],
            name="producer",
            folder=self.folder / "p",
            environment={
                **self.broker.environment,
                **self._environment(armed),
                "PYTHONPATH": str(Path.cwd()),
            },
        )
        return self._stack.enter_context(producer)

    def submit_silently(self, tool: str = "run", count: int = CALLS, batch_calls: int = 1000) -> str:
        """Accept a job of that many calls, in batches whose doorbells nobody rang."""
        header = self._header(tool)
        calls = [CallEntry(n, f'{{"n":{n}}}') for n in range(count)]
        for base in range(0, count, batch_calls):
            self.ledger.submit(header, calls[base : base + batch_calls], base=base, ring_after_s=0)
        self.ledger.seal("j")
        return "j"

    def submit_waiting(self, count: int = CALLS) -> str:
        """Accept a job of that many calls, which wait in a buffer for a dispatcher."""
        header = self._header("run")
        calls = [BufferedCall(CallEntry(n, f'{{"n":{n}}}')) for n in range(count)]
        self.ledger.enqueue(header, calls, [Buffer(key="k", max_size=count)], base=0, total=count)
        return "j"

    def _header(self, tool: str) -> BatchHeader:
        return BatchHeader(
            job="j",
            tool=f"witness.{tool}",
            digest=self.record.digest,
            tenant="default",
            queue="penstock.default",
            once=tool == "once",
            expires_ms=10**15,
        )

    def finished(self, job: str) -> None:
        """Wait for the end of a job."""
        wait_until(lambda: self.ledger.job(job).state.final, 60, lambda: f"{self.ledger.job(job)} ends")

    def count(self, jobs: dict[int, str]) -> None:
        """Each call has one result, which the witness saw; each index was recorded once."""
        with Producer.connect(self.broker.url) as producer:
            for n, job in jobs.items():
                assert producer.job(job).result(wait_s=30).data == {"n": n}
        assert set(executions(self.folder / "witness.log")) >= set(jobs)


@pytest.fixture
def stage(durable_redis: RedisServer, tmp_path: Path) -> Iterator[Stage]:
    """The stage of one test."""
    with ExitStack() as stack:
        yield Stage(durable_redis, tmp_path, stack)


def points(who: str) -> list[str]:
    """The crash points of one kind of process."""
    return [point for point in CRASH_POINTS if point.startswith(f"{who}.")]


@pytest.mark.parametrize("point", points("producer"))
def test_B4_a_producer_may_end_anywhere(stage: Stage, point: str) -> None:
    """Submitting again under the same key is safe, and a doorbell that was not rung is rung by the reaper."""
    stage.worker()
    stage.scheduler()

    crashed = stage.feed(point)
    status = crashed.wait(60)
    again = stage.feed()
    again.wait(60)

    ids = [line.split() for line in (stage.folder / "singles").read_text().splitlines()]
    jobs = {int(n): job for n, job in ids}
    for job in jobs.values():
        stage.finished(job)
    assert status == -signal.SIGKILL
    assert sorted(jobs) == list(range(CALLS))
    assert stage.client.zcard(Keys().jobs) == CALLS + 1, "a call was accepted twice"
    stage.count(jobs)


@pytest.mark.parametrize("point", [p for p in points("worker") if p != "worker.before_release"])
def test_B4_a_pool_process_may_end_anywhere(stage: Stage, point: str) -> None:
    """Batches are claimed again, what is recorded is skipped, nothing is recorded twice."""
    stage.worker(point)
    job = stage.submit_silently(batch_calls=CALLS // 3)
    stage.scheduler()

    stage.finished(job)

    record = stage.ledger.job(job)
    named = [i for c in stage.ledger.completions(job)[1] for i in c.indexes]
    seen = executions(stage.folder / "witness.log")
    assert stage.marker.exists(), "the crash point was not reached"
    assert (record.state, record.done, record.failed) == (JobState.SUCCEEDED, CALLS, 0)
    assert sorted(named) == list(range(CALLS))
    assert set(seen) == set(range(CALLS))
    if point in {"worker.after_commit", "worker.after_next_claim"}:
        assert max(seen.values()) == 1, "what was recorded ran again"


def test_B4_a_worker_may_end_while_it_gives_a_batch_back(stage: Stage) -> None:
    """The next worker finds the batch by its lease's end."""
    point = "worker.before_release"
    worker = stage.worker(point)
    stage.scheduler()
    job = stage.submit_silently(count=500)
    log = stage.folder / "witness.log"
    wait_until(lambda: log.stat().st_size > 0, 30, "the batch runs")

    worker.stop(60)
    stage.worker()
    stage.finished(job)

    assert stage.marker.exists(), "the crash point was not reached"
    assert stage.ledger.job(job).done == 500


@pytest.mark.parametrize("point", points("scheduler"))
def test_B4_a_scheduler_may_end_anywhere(stage: Stage, point: str) -> None:
    """The next one rings after the back-off."""
    stage.worker()
    job = stage.submit_waiting() if "dispatch" in point else stage.submit_silently()

    crashed = stage.scheduler(point)
    status = crashed.wait(60)
    stage.scheduler()
    stage.finished(job)

    assert status == -signal.SIGKILL
    assert stage.ledger.job(job).done == CALLS


def test_E4_a_tool_that_may_run_once_only_is_never_run_twice(stage: Stage) -> None:
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
