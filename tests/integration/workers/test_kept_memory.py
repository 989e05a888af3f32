"""A pool process keeps the memory of one message for the next one."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import pytest

from penstock_plugins.pipelines.builder import Pipeline
from penstock_scheduler import Producer
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.publishing import publish_shipped
from tests.support.redis_server import RedisServer

#: Of each, five steps leave a trace of 1 kB.
ITEMS = [{"a": "x" * 30, "b": "y" * 30} for _ in range(1500)]
ROUNDS = 4
SAID_BY = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")

pytestmark = [
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the rule is one of glibc's"),
    pytest.mark.skipif(any(name in os.environ for name in SAID_BY), reason="another rule is set here"),
]


def test_a_pool_process_keeps_what_it_frees(redis_server: RedisServer, tmp_path: Path) -> None:
    """By glibc's own rules it asks for pages with each message."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    publish_shipped(redis_server, "text")

    ours = page_faults(broker, tmp_path / "ours", {})
    # Its own default, and so no change; but whoever says anything has the last word.
    by_glibc = page_faults(broker, tmp_path / "glibc", {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=7"})

    assert ours < by_glibc / 4, f"{ours} page faults, and {by_glibc} by glibc's rules"


def page_faults(broker: Broker, folder: Path, environment: dict[str, str]) -> int:
    """Those of a pool process in the last of some equal rounds."""
    pipeline = Pipeline("far")
    for _ in range(5):
        pipeline = pipeline.pipe("text.distance", params={"a": "{{input.a}}", "b": "{{input.b}}"})
    with (
        Worker(broker=broker, folder=folder, environment=environment) as worker,
        Producer.connect(broker.url) as producer,
    ):
        [process] = psutil.Process(worker.pid).children()
        counts = []
        for _ in range(ROUNDS):
            assert all(result.success for result in producer.map(pipeline, ITEMS).results(60))
            counts.append(faults_of(process.pid))
    return counts[-1] - counts[-2]


def faults_of(pid: int) -> int:
    """Minor page faults of a process since its start."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])
