"""A worker that stops gives the stage that it is at back, whichever kind it is of."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from penstock_broker_config.keys import Keys
from penstock_plugins.pipelines.model import Pipeline
from tests.chaos.witness import publish_witness
from tests.support.gate import Gate
from tests.support.pipelines.running import Line
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

RUN: dict[str, Any] = {"tool": "witness.run", "params": {"n": "{{input.n}}"}}
STAGES = {
    "inline": [RUN, RUN],
    "call": [RUN | {"retry": {"max_attempts": 1}}],
    "member": [
        {"transform": ["{{input.n}}"]},
        {"map": "data", "steps": [RUN | {"params": {"n": "{{item}}"}}]},
    ],
}
ITEMS = 300


@pytest.fixture
def line(redis_server: RedisServer, tmp_path: Path) -> Iterator[Line]:
    """Workers that come and go."""
    with ExitStack() as stack:
        line = Line(redis_server, tmp_path, stack)
        publish_witness(line.client, Keys())
        yield line


@pytest.mark.parametrize("kind", STAGES)
def test_a_worker_that_stops_gives_its_stage_back(line: Line, kind: str) -> None:
    """The next worker goes on at once; nobody is charged."""
    with Gate(line.folder / "gate") as gate:
        first = line.worker(name="w1", processes=1, PENSTOCK_GUEST_LOG_FILE=str(gate.path))
        line.scheduler()
        run = line.begin(
            Pipeline.from_dict({"name": "stops", "steps": STAGES[kind]}),
            [{"n": n} for n in range(ITEMS)],
            chunk=ITEMS,
        )
        wait_until(lambda: gate.reached, 30, "calls run")

        first.signal(signal.SIGTERM)
        first.wait_for_log("Warm shutdown")
        gate.open()
        first.wait(60)
    ended = line.job(run).state.final
    line.worker(name="w2", processes=1)

    results = line.results(run)
    assert not ended, "the worker did not stop in time for this test"
    assert all(one.error is None for one in results)
