"""The stage of a crash point: a durable Redis with the witness published, and processes that may be armed."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import BatchHeader, Buffer, BufferedCall, CallEntry, DeclaredLimit, Ledger
from penstock_scheduler import Producer
from tests.chaos.witness import executions, publish_witness
from tests.support.brokers import Broker
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.processes import Process
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

CALLS = 12
#: Runs of each point; `make chaos SCENARIO=crash_points` makes 100.
RUNS = int(os.environ.get("CHAOS_RUNS", "2"))
SETTINGS = {
    "PENSTOCK_LEASE_S": "1",
    "PENSTOCK_RING_AFTER_S": "0.3",
    "PENSTOCK_RING_CAP_S": "1",
    "PENSTOCK_SOFT_SHUTDOWN_S": "20",
}


class Stage:
    """A durable Redis with the witness published, and processes that may be armed."""

    def __init__(
        self, redis_server: RedisServer, folder: Path, stack: ExitStack, *, shared: bool = False
    ) -> None:
        self.broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
        self.folder = folder
        self.marker = folder / "crashed"
        self._stack = stack
        self._shared = shared
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

    def worker(self, armed: str | None = None, **settings: str) -> Worker:
        """Start a worker."""
        environment = self._environment(armed) | settings
        worker = Worker(broker=self.broker, folder=self.folder / "w", environment=environment)
        worker.shared = self._shared
        return self._stack.enter_context(worker)

    def scheduler(self, armed: str | None = None) -> Scheduler:
        """Start a scheduler."""
        scheduler = Scheduler(
            broker=self.broker, folder=self.folder / "s", environment=self._environment(armed)
        )
        scheduler.shared = self._shared
        return self._stack.enter_context(scheduler)

    def feed(self, folder: Path, armed: str | None = None) -> Process:
        """A producer that submits `CALLS` single calls with a key each, and one empty map."""
        command = (sys.executable, "-m", "tests.chaos.feed", str(folder), str(CALLS), "0")
        return self.process(command, armed)

    def process(self, command: tuple[str, ...], armed: str | None = None) -> Process:
        """A command that ends by itself."""
        return Process(
            command,
            name="producer",
            folder=self.folder / "p",
            environment={
                **self.broker.environment,
                **self._environment(armed),
                "PYTHONPATH": os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))),
            },
        )

    def submit_silently(self, tool: str = "run", count: int = CALLS, batch_calls: int = 1000) -> str:
        """Accept a job of that many calls, in batches whose doorbells nobody rang."""
        header = self.header(tool)
        calls = [CallEntry(n, f'{{"n":{n}}}') for n in range(count)]
        for base in range(0, count, batch_calls):
            self.ledger.submit(header, calls[base : base + batch_calls], base=base, ring_after_s=0)
        self.ledger.seal("j")
        return "j"

    def submit_waiting(self, tool: str = "run", *, limited: bool = False, count: int = CALLS) -> str:
        """Accept a job of calls which wait in a buffer for a dispatcher, and perhaps for a limit."""
        header = self.header(tool)
        calls = [BufferedCall(CallEntry(n, f'{{"n":{n}}}')) for n in range(count)]
        limits = (DeclaredLimit(key="k", concurrency=1),) if limited else ()
        self.ledger.enqueue(
            header, calls, [Buffer(key="k", max_size=max(4, count // 3), limits=limits)], base=0, total=count
        )
        return "j"

    def submit(self, kind: str) -> str:
        """Accept a job of calls of one kind."""
        match kind:
            case "formed":
                return self.submit_waiting()
            case "limited":
                return self.submit_waiting(limited=True)
            case "tried again":
                return self.submit_waiting("failed", limited=True)
        return self.submit_silently(batch_calls=CALLS // 3)

    def header(self, tool: str) -> BatchHeader:
        """The header of job `j`."""
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
