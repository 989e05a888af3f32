"""Runs of pipelines on real workers, begun by the ledger's own door."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from penstock_broker_config.app import create_app
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.envelope import Signer, flow_context
from penstock_broker_config.flow_items import pack_items
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import JobRecord, Ledger, RunSpec, top_flow
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.values import RedisValues
from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.item import ItemState
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.plan import Plan
from penstock_plugins.record import PluginRecord
from penstock_plugins.result import ToolResult, from_record
from penstock_scheduler.planning import Planned, make_plan, planned
from penstock_scheduler.submission import choose_queue
from tests.support.brokers import Broker
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

#: Leases and rings that a test has time for.
SETTINGS = {
    "PENSTOCK_LEASE_S": "2",
    "PENSTOCK_RING_AFTER_S": "0.3",
    "PENSTOCK_RING_CAP_S": "1",
    "PENSTOCK_SOFT_SHUTDOWN_S": "20",
}


class Line:
    """A Redis with plugins published, workers and schedulers on it, and runs."""

    def __init__(self, server: RedisServer, folder: Path, stack: ExitStack, *, shared: bool = False) -> None:
        """Nothing is started. `shared`: it lives longer than one test."""
        self._shared = shared
        self.broker = Broker(server=server, url=server.url, redis=server)
        self.folder = folder
        self._stack = stack
        self.client = stack.enter_context(server.client())
        self.ledger = Ledger(self.client, Keys())
        self.values = RedisValues(self.client, Keys())
        self.app = create_app(self.broker.settings())
        self.doorbell = Doorbell(self.app)
        stack.callback(self.doorbell.close)
        self.records: list[PluginRecord] = []
        self._runs = 0
        #: Where witnesses write, and where the first crash is marked.
        self.log, self.marker = folder / "witness.log", folder / "crashed"

    def environment(self, armed: str | None = None) -> dict[str, str]:
        """Settings of the processes; with a crash point, the first that comes there ends."""
        crash = {"PENSTOCK_CRASH_AT": f"{armed}:{self.marker}"} if armed else {}
        return {
            **SETTINGS,
            "PENSTOCK_CACHE_DIR": str(self.folder / "cache"),
            "PENSTOCK_GUEST_LOG_FILE": str(self.log),
            **crash,
        }

    def worker(
        self, armed: str | None = None, *, processes: int = 2, name: str = "w1", **more: str
    ) -> Worker:
        """Start a worker."""
        worker = Worker(
            broker=self.broker,
            folder=self.folder / name,
            name=name,
            processes=processes,
            environment=self.environment(armed) | more,
        )
        worker.shared = self._shared
        return self._stack.enter_context(worker)

    def scheduler(self) -> Scheduler:
        """Start a scheduler."""
        scheduler = Scheduler(broker=self.broker, folder=self.folder / "s", environment=self.environment())
        scheduler.shared = self._shared
        return self._stack.enter_context(scheduler)

    def planned(self, pipeline: Pipeline, *, fuse: bool = True) -> Planned:
        """The plan of a pipeline over what is published."""
        index = ToolIndex(RedisCatalog(self.client, Keys()).records())
        return make_plan(pipeline, index, lambda pool: choose_queue(None, pool), fuse=fuse)

    def begin(
        self,
        what: Pipeline | Plan,
        inputs: Sequence[Any],
        *,
        fuse: bool = True,
        chunk: int = 100,
        ring: bool = True,
        deadline_s: float | None = None,
    ) -> str:
        """Have a run accepted, in flows of so many items."""
        found = planned(what) if isinstance(what, Plan) else self.planned(what, fuse=fuse)
        plan, steps = found.plan, found.steps_from(0)
        self._runs += 1
        run = f"run{self._runs}"
        spec = RunSpec(
            run=run,
            pipeline=plan.label,
            digest=plan.digest,
            bundles=plan.bundles,
            tenant="default",
            queue=plan.queue,
            plan=Signer(None).seal(run, plan.to_json()),
        )
        self.ledger.open_run(spec, deadline_s=deadline_s)
        reads = found.programs[0].reads_input
        for base in range(0, len(inputs), chunk):
            texts = [
                orjson.dumps(ItemState.fresh(given, reads_input=reads).to_json())
                for given in inputs[base : base + chunk]
            ]
            packed = pack_items(texts, lambda text: self.values.put(run, text))
            flow = top_flow(run, base)
            self.ledger.begin(
                spec,
                Signer(None).seal(flow_context(flow, steps[0].stage, 0), packed),
                base=base,
                count=len(texts),
                size_bytes=sum(map(len, texts)),
                first=steps[0],
                ring_after_s=5.0 if ring else 0.0,
            )
            if ring:
                self.doorbell.step(flow, steps, items=len(texts))
        self.ledger.seal(run)
        return run

    def job(self, run: str) -> JobRecord:
        """The record of a run."""
        return self.ledger.job(run)

    def finished(self, run: str, *, wait_s: float = 60.0) -> JobRecord:
        """Wait for the end of a run."""
        wait_until(lambda: self.job(run).state.final, wait_s, lambda: f"{self.job(run)} ends")
        return self.job(run)

    def results(self, run: str, *, wait_s: float = 60.0) -> list[ToolResult]:
        """What came of each item, in their order, when the run has ended. Each was recorded once."""
        record = self.finished(run, wait_s=wait_s)
        cursor, named = "0", []
        while True:
            cursor, completions = self.ledger.completions(run, cursor=cursor, count=10_000)
            if not completions:
                break
            named += [index for one in completions for index in one.indexes]
        assert sorted(named) == list(range(record.accepted)), "an item ended twice, or never"
        found = []
        for index, raw in enumerate(self.ledger.results(run, range(record.accepted))):
            assert raw is not None, f"item {index} of {record} has no result"
            text = self.values.get(run, raw) if raw.startswith(b"@") else raw
            found.append(from_record(text, call_id=f"{run}.{index}", tool=record.tool, index=index))
        return found

    def run(self, what: Pipeline | Plan, inputs: Sequence[Any], **options: Any) -> list[ToolResult]:
        """Begin a run and wait for its results."""
        return self.results(self.begin(what, inputs, **options))
