"""A worker of the real path whose tool only sleeps: `python -m benchmarks.sleeping_worker PROCESSES SLEEP_S`.

Doorbells, claims, commits and leases are Penstock's own; only the executor is another. What such a worker
costs is what the queue costs, and how it scales does not depend on the machine's cores.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from celery import signals

from penstock_broker_config.app import RUN_TASK, create_app
from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import Ledger
from penstock_broker_config.settings import Settings, load_settings
from penstock_broker_config.store import connect_store
from penstock_broker_config.values import open_values
from penstock_workers.batch_runner import BatchRunner
from penstock_workers.bench import Bench
from penstock_workers.consumer import ResilientConsumer
from penstock_workers.executor import Executor, PreparedTool
from penstock_workers.finished import FinishedBatches
from penstock_workers.guard import CallGuard
from penstock_workers.identity import process_name
from penstock_workers.lease import LeaseKeeper
from penstock_workers.outcome import Outcome

#: What every call answers, as `text.slug` would.
_CONTENT = b'{"slug":"hello-world"}'


class SleepingTool(PreparedTool):
    """Sleeps where another would run a guest."""

    __slots__ = ("_sleep_s",)

    def __init__(self, sleep_s: float) -> None:
        # Nothing of PreparedTool is used but its shape.
        self._sleep_s = sleep_s

    @property
    def runs_together(self) -> bool:
        return False

    def invoke(self, params_json: str | bytes, *, token: str, timeout_s: float | None = None) -> Outcome:
        if self._sleep_s:
            time.sleep(self._sleep_s)
        return Outcome(
            content=_CONTENT,
            # The ledger's measured cost may not be 0: that means that it was not measured.
            execution_s=max(self._sleep_s, 1e-6),
        )


class SleepingExecutor(Executor):
    """Prepares sleeping tools, whatever is asked for."""

    def __init__(self, sleep_s: float) -> None:
        self._sleep_s = sleep_s

    def prepare(self, digest: str, tool: str, *, timeout_s: float | None = None) -> PreparedTool:
        return SleepingTool(self._sleep_s)


def start_runner(settings: Settings, sleep_s: float, finished: FinishedBatches) -> BatchRunner:
    """What `penstock_workers.runtime` does after the fork, but for everything about plugins."""
    client = connect_store(settings)
    ledger = Ledger(client, settings.keys, settings.retention)
    keeper = LeaseKeeper(ledger, client, CallGuard(), lease_s=settings.lease_s, process=process_name())
    keeper.start()
    return BatchRunner(
        Bench(
            ledger=ledger,
            executor=SleepingExecutor(sleep_s),
            keeper=keeper,
            signer=Signer(settings.signing_secret()),
            values=open_values(client, settings),
            lease_s=settings.lease_s,
            max_attempts=settings.max_attempts,
            worker="sleeping",
            stopping=lambda: False,
            queues=settings.queues,
            chain_s=settings.chain_s,
            finished=finished,
        )
    )


def main(processes: int, sleep_s: float) -> int:
    """Work until told to stop."""
    settings = load_settings()
    app = create_app(settings)
    runners: list[BatchRunner] = []
    finished = ResilientConsumer.finished = FinishedBatches()
    app.conf.worker_consumer = f"{ResilientConsumer.__module__}:{ResilientConsumer.__qualname__}"

    @app.task(name=RUN_TASK)
    def run(batch_id: str) -> None:
        runners[0].run(batch_id)

    @signals.worker_process_init.connect(weak=False)
    def start(**_: object) -> None:
        runners.append(start_runner(settings, sleep_s, finished))

    @signals.worker_ready.connect(weak=False)
    def ready(**_: object) -> None:
        print("Ready", flush=True)

    worker: Any = app.Worker(
        concurrency=processes,
        pool="prefork",
        loglevel="WARNING",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2])))
