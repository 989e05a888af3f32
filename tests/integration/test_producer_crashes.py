"""A producer may be killed at any moment: what was accepted is kept, and the rest can be resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock_scheduler import Producer
from tests.support.ledger_worker import LedgerWorker, publish
from tests.support.redis_server import RedisServer

WAIT_S = 60.0
INPUTS = 200

FEED = f"""
import sys
from penstock_scheduler import Producer

with Producer.connect(sys.argv[1]) as producer:
    producer.map("double", ({{"n": n}} for n in range({INPUTS})))
"""
SUBMIT = """
import sys
from penstock_scheduler import Producer

with Producer.connect(sys.argv[1]) as producer:
    producer.submit("double", {"n": 21})
"""


def double(params: dict[str, Any]) -> int:
    """The tool of these tests."""
    return 2 * int(params["n"])


def killed_at(point: str, program: str, url: str, tmp_path: Path) -> None:
    """Run a program that ends itself there."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program, url],
        env={**os.environ, "PENSTOCK_CRASH_AT": f"{point}:{tmp_path / 'once'}"},
        timeout=WAIT_S,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "point", ["producer.after_open", "producer.before_submit", "producer.after_submit", "producer.after_ring"]
)
def test_B4_a_map_whose_producer_was_killed_is_resumed_without_a_gap(
    point: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Wherever it was killed: every input has one result, in order."""
    with redis_server.client() as client:
        publish(client, "double")
    killed_at(point, FEED, redis_server.url, tmp_path)

    with (
        Producer.connect(redis_server.url) as producer,
        LedgerWorker(redis_server.url, {"demo.double": double}) as worker,
    ):
        (record,) = producer.jobs()
        job = producer.map("double", ({"n": n} for n in range(INPUTS)), job=record.id)
        results = job.result(WAIT_S)

    before = point in {"producer.after_open", "producer.before_submit"}
    assert record.accepted in (range(1) if before else range(1, 9))
    assert [result.data for result in results] == [2 * n for n in range(INPUTS)]
    assert sum(worker.batches) == INPUTS


@pytest.mark.parametrize("point", ["producer.after_submit", "producer.after_ring"])
def test_B4_a_call_that_was_accepted_outlives_its_producer(
    point: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """With its doorbell or without."""
    with redis_server.client() as client:
        publish(client, "double")
    killed_at(point, SUBMIT, redis_server.url, tmp_path)

    with (
        Producer.connect(redis_server.url) as producer,
        LedgerWorker(redis_server.url, {"demo.double": double}),
    ):
        (record,) = producer.jobs()
        assert producer.job(record.id).result(WAIT_S).data == 42
