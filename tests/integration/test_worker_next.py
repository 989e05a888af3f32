"""Workers on both brokers go from one batch to the next, and drop the doorbells that this leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock_broker_config.app import create_app
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import BatchHeader, CallEntry, JobState, Ledger
from penstock_broker_config.settings import load_settings
from tests.chaos.witness import executions, publish_witness
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.waiting import wait_until

QUEUE = "penstock.default"
BATCHES = 5


class Stage:
    """A job of five batches of two calls, doorbells that a test rings by hand, and a worker."""

    def __init__(self, broker: Broker, folder: Path, stack: ExitStack) -> None:
        self.broker = broker
        self.log = folder / "witness.log"
        self._folder = folder
        self._stack = stack
        self.client = stack.enter_context(broker.redis.client())
        self.ledger = Ledger(self.client, Keys())
        self.doorbell = Doorbell(create_app(load_settings(broker_url=broker.url, redis_url=broker.redis.url)))
        stack.callback(self.doorbell.close)
        header = BatchHeader(
            job="j",
            tool="witness.run",
            digest=publish_witness(self.client, Keys()).digest,
            tenant="default",
            queue=QUEUE,
            once=False,
            expires_ms=10**15,
        )
        for base in range(0, 2 * BATCHES, 2):
            calls = [CallEntry(base + k, f'{{"n":{base + k}}}') for k in (0, 1)]
            self.ledger.submit(header, calls, base=base)
        self.ledger.seal("j")

    def ring(self, *batches: int) -> None:
        """Ring for some of the batches."""
        for batch in batches:
            self.doorbell.ring(f"j.{2 * batch}", queue=QUEUE, tool="witness.run", calls=2)

    def worker(self, **settings: str) -> None:
        """Start a worker of one pool process."""
        environment = {
            "PENSTOCK_CACHE_DIR": str(self._folder / "cache"),
            "PENSTOCK_GUEST_LOG_FILE": str(self.log),
            **{f"PENSTOCK_{name.upper()}": value for name, value in settings.items()},
        }
        worker = Worker(broker=self.broker, folder=self._folder / "w", environment=environment)
        self._stack.enter_context(worker)

    def finished(self, calls: int) -> bool:
        """Whether so many calls are recorded."""
        return self.ledger.job("j").done == calls


@pytest.fixture
def stage(broker: Broker, tmp_path: Path) -> Iterator[Stage]:
    """The stage of one test."""
    with ExitStack() as stack:
        yield Stage(broker, tmp_path, stack)


def test_one_doorbell_is_enough_for_all_that_wait_in_its_queue(stage: Stage) -> None:
    """No scheduler runs that could ring for the others."""
    stage.worker(chain_s="60")
    stage.ring(0)

    wait_until(lambda: stage.finished(2 * BATCHES), 60, "all batches are finished")

    assert stage.ledger.job("j").state is JobState.SUCCEEDED
    assert executions(stage.log) == dict.fromkeys(range(2 * BATCHES), 1)


def test_without_it_each_batch_waits_for_its_own_doorbell(stage: Stage) -> None:
    """The switch: one batch is finished, and the others were not taken along with it."""
    stage.worker(chain_s="0")
    stage.ring(1)

    wait_until(lambda: stage.finished(2), 60, "one batch is finished")
    assert stage.client.zcard(Keys().waiting(QUEUE)) == BATCHES - 1
    stage.ring(0, 2, 3, 4)

    wait_until(lambda: stage.finished(2 * BATCHES), 60, "all batches are finished")


def test_doorbells_of_what_is_finished_are_dropped(stage: Stage) -> None:
    """They leave the queue, acknowledged, and nothing runs twice."""
    stage.ring(*range(BATCHES), *range(BATCHES))
    stage.worker(chain_s="60")

    wait_until(lambda: stage.finished(2 * BATCHES), 60, "all batches are finished")
    wait_until(lambda: stage.doorbell.depths([QUEUE])[QUEUE] == 0, 60, "the queue is empty")

    assert executions(stage.log) == dict.fromkeys(range(2 * BATCHES), 1)
