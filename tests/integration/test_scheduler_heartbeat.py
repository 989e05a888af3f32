"""`penstock scheduler --heartbeat-file`: what a probe sees."""

from __future__ import annotations

from pathlib import Path

from tests.support.brokers import Broker
from tests.support.penstock_processes import Scheduler
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until


def test_the_heartbeat_file_is_touched_while_the_scheduler_is_well(
    durable_redis: RedisServer, tmp_path: Path
) -> None:
    """A Redis that is away does not make the scheduler ill: starting it anew would help nobody."""
    beat = tmp_path / "beat"
    broker = Broker(server=durable_redis, url=durable_redis.url, redis=durable_redis)
    with Scheduler("--heartbeat-file", str(beat), broker=broker, folder=tmp_path / "s1") as scheduler:
        wait_until(beat.exists, 30, "the first beat")
        first = beat.stat().st_mtime_ns
        wait_until(lambda: beat.stat().st_mtime_ns > first, 30, "the next beat")

        durable_redis.kill()
        scheduler.wait_for_log("does not answer")
        last = beat.stat().st_mtime_ns
        wait_until(lambda: beat.stat().st_mtime_ns > last, 30, "a beat without Redis")
