"""From the ledger to the broker: what is sent for flows; and how large values of runs are kept."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, cast

import orjson
import pytest
import redis

from penstock_broker_config.app import create_app
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.ledger import (
    ClaimState,
    DispatchTerms,
    InnerOf,
    Leave,
    Ledger,
    ReapTerms,
    top_flow,
)
from penstock_broker_config.settings import Settings
from penstock_broker_config.values import ORPHAN_MS, RedisValues
from penstock_scheduler.dispatcher import Dispatcher, DispatchLoop
from penstock_scheduler.reaper import Reaper
from tests.support.flow_values import begun, entered, inner, run_inner, step
from tests.support.ledger_values import terms
from tests.support.waiting import wait_until


@pytest.fixture
def doorbell(redis_server: Any, client: redis.Redis) -> Iterator[Doorbell]:
    """A doorbell over the test's Redis."""
    doorbell = Doorbell(create_app(Settings(redis_url=redis_server.url)))
    yield doorbell
    doorbell.close()


def rung(client: redis.Redis, queue: str = "penstock.default") -> list[tuple[str, list[str]]]:
    """Task and arguments of the messages of a queue, the oldest first."""
    found = []
    for raw in reversed(cast("list[bytes]", client.lrange(f"penstock:{queue}", 0, -1))):
        message = orjson.loads(raw)
        found.append((message["headers"]["task"], orjson.loads(base64.b64decode(message["body"]))[0]))
    return found


def test_the_end_of_an_inner_job_is_rung_for(ledger: Ledger, client: redis.Redis, doorbell: Doorbell) -> None:
    """A dispatcher that sleeps is woken by whoever ended it."""
    begun(ledger, "r", 2)
    claim = entered(ledger, "r/0", "0")
    job = inner(ledger, "r/0", "0", claim)
    assert ledger.leave(InnerOf("r/0", "0", claim.fence), waits=True) is Leave.LEFT
    loop = DispatchLoop(Dispatcher(ledger, doorbell, DispatchTerms()), client, ledger.keys.dispatch_channel)
    loop.start()
    try:
        run_inner(ledger, job)
        wait_until(
            lambda: rung(client),
            30,
            lambda: f"a doorbell rings; open is {client.zrange('penstock:open', 0, -1)}",
        )
    finally:
        loop.stop()

    assert rung(client) == [("penstock.step", ["r/0", "0"])]


def test_L6_the_reaper_sends_the_step_that_nobody_heard_of(
    ledger: Ledger, client: redis.Redis, doorbell: Doorbell
) -> None:
    """To the queue of its stage, though it be a pool's."""
    begun(ledger, "r", 1, first=step("0", queue="penstock.pool.gpu"), ring_after_s=0)

    reaper = Reaper(ledger, doorbell, terms=ReapTerms(), deep_queue=50, queues=["penstock.default"])

    assert reaper.step() == 1
    assert rung(client, "penstock.pool.gpu") == [("penstock.step", [top_flow("r", 0), "0"])]


def test_B4_a_batchs_doorbell_that_names_a_flow_changes_nothing(
    ledger: Ledger, client: redis.Redis, doorbell: Doorbell
) -> None:
    """A flow is open under its name behind a mark: who forges a message can write that too."""
    begun(ledger, "r", 1, ring_after_s=0)

    assert ledger.claim(">r/0", terms()).state is ClaimState.GONE

    assert Reaper(ledger, doorbell, terms=ReapTerms(), deep_queue=50, queues=[]).step() == 1
    assert rung(client) == [("penstock.step", ["r/0", "0"])]


def test_large_values_of_a_run_are_kept_with_it(ledger: Ledger, client: redis.Redis) -> None:
    """Whichever of its inner jobs they came from; those of a job that was never submitted go soon."""
    values = RedisValues(client, ledger.keys)
    begun(ledger, "r", 1)
    reference = values.put("r/0:0", b"x" * 300_000)

    assert values.get("r", reference) == values.get("r/0/1.0:7", reference) == b"x" * 300_000
    assert client.pttl("penstock:j:r:v") > 10 * ORPHAN_MS
    values.put("never", b"x" * 300_000)
    assert 0 < client.pttl("penstock:j:never:v") <= ORPHAN_MS
