"""A worker that stands still longer than its lease: what it finds when it goes on (B-2, E-4)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Ledger, LimitChange
from penstock_plugins.error_codes import ErrorCode
from penstock_scheduler import Producer
from tests.chaos.cast import Cast, cast
from tests.chaos.witness import executions
from tests.support.waiting import wait_until

LEASE_S = 1.0
#: Milliseconds that a call waits in the host; an epoch does not interrupt that.
CALL_MS = 3000


@pytest.fixture
def on_stage(tmp_path: Path) -> Iterator[Cast]:
    """One worker of one process, and one scheduler."""
    settings = {
        "PENSTOCK_LEASE_S": str(LEASE_S),
        "PENSTOCK_RING_AFTER_S": "0.5",
        "PENSTOCK_RING_CAP_S": "1",
        "PENSTOCK_OVERRUN_GRACE_S": "20",
    }
    with cast(tmp_path, workers=1, schedulers=1, processes=1, networks=False, settings=settings) as stage:
        yield stage


def stand_still_in_a_call(on_stage: Cast) -> None:
    """Stop the worker in a call until Redis has forgotten its slot, and let it go on."""
    wait_until(on_stage.witness_file.exists, 30, "the file of the witness")
    wait_until(lambda: executions(on_stage.witness_file), 30, "the call runs")
    group = on_stage.processes["w1"].pid
    os.killpg(group, signal.SIGSTOP)
    with on_stage.broker.redis.client() as client:
        wait_until(lambda: not _slots(Ledger(client, Keys())), 30, "the slot's lease is over")
    os.killpg(group, signal.SIGCONT)


def _slots(ledger: Ledger) -> int:
    return sum(state.running for state in ledger.limits())


def test_B2_a_call_that_outlived_its_lease_runs_again_and_is_no_failure(on_stage: Cast) -> None:
    """It was stopped since its slot might be another's, which is nothing that its caller asked for.

    Or its lease was renewed before anything else ran, since nobody had taken the slot: then it goes on.
    """
    with Producer.connect(on_stage.broker.url) as producer:
        job = producer.submit("witness.limited", {"n": 0, "key": "k", "ms": CALL_MS})
        stand_still_in_a_call(on_stage)
        result = job.result(wait_s=60)

    assert result.success, result.error


def test_E4_a_call_that_may_run_once_only_does_not_run_again_after_its_lease(on_stage: Cast) -> None:
    """It ends INTERRUPTED, and the calls after it go on. A lease that was renewed at once saves it."""
    with on_stage.broker.redis.client() as client, Producer.connect(on_stage.broker.url) as producer:
        Ledger(client, Keys()).change_limit("tool:witness.once", LimitChange(concurrency=1))
        job = producer.submit("witness.once", {"n": 0, "ms": CALL_MS})
        stand_still_in_a_call(on_stage)
        result = job.result(wait_s=60)
        after = producer.submit("witness.once", {"n": 1}).result(wait_s=60)

    assert result.success or (result.error and result.error.code is ErrorCode.INTERRUPTED)
    assert after.success
    assert executions(on_stage.witness_file) == {0: 1, 1: 1}
