"""Every crash point that a producer of pipelines meets: it ends there, and each item ends once (B-4)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock_broker_config.crash import PIPELINE_POINTS
from penstock_broker_config.keys import Keys
from tests.chaos.feed import known_jobs
from tests.chaos.pipeline_verdict import judge_items
from tests.chaos.verdict import Verdict
from tests.chaos.witness import publish_witness
from tests.support.pipelines.running import Line
from tests.support.processes import Process
from tests.support.redis_server import RedisServer

#: Runs of one item each, and items of the map beside them.
SINGLES, MAPPED = 4, 6
#: Runs of each point; `make chaos SCENARIO=crash_points` makes 100.
RUNS = int(os.environ.get("CHAOS_RUNS", "2"))


@pytest.fixture
def line(durable_redis: RedisServer, tmp_path: Path) -> Iterator[Line]:
    """A Redis of the test's own with a worker and a scheduler."""
    with ExitStack() as stack:
        line = Line(durable_redis, tmp_path, stack)
        publish_witness(line.client, Keys(), turns=1000)
        line.worker()
        line.scheduler()
        yield line


def feed(line: Line, armed: str | None = None) -> int:
    """Let a producer feed what is not accepted yet; how it ended."""
    arguments = (str(line.folder), str(SINGLES), str(MAPPED), "0.1")
    root = os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH"))))
    environment = {**line.broker.environment, **line.environment(armed), "PYTHONPATH": root}
    command = (sys.executable, "-m", "tests.chaos.pipeline_feed", *arguments)
    with Process(command, name="producer", folder=line.folder / "p", environment=environment) as process:
        return process.wait(60)


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", [point for point in PIPELINE_POINTS if point.startswith("producer.")])
def test_B4_a_producer_of_pipelines_may_end_anywhere(line: Line, point: str, run: int) -> None:
    """A run submitted again by its key is the same run, and a map is fed again where it ended."""
    statuses = feed(line, point), feed(line)

    for job in (*known_jobs(line.folder).values(), (line.folder / "map").read_text()):
        line.results(job, wait_s=90)
    verdict = Verdict()
    judge_items(verdict, line.client, line.folder, singles=SINGLES, mapped=MAPPED)
    # A map that ended before anybody heard of its id is empty, and stays open.
    forgotten = line.client.zcard(Keys().jobs) - SINGLES - 1
    assert statuses == (-signal.SIGKILL, 0)
    assert verdict.problems == []
    assert forgotten == 0 or (forgotten == 1 and point == "producer.after_open_run")
    assert line.client.zcard(Keys().open) == 0
