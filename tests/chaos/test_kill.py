"""Nothing accepted is lost and nothing is recorded twice, while everything is killed at random (B-4)."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Ledger
from penstock_scheduler.producer import Producer
from tests.chaos.witness import executions, publish_witness
from tests.support.brokers import Broker
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.processes import Process
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SINGLES, MAPPED = 1000, 1000
#: Kills; what is left then runs to its end in peace.
KILLS = 15
SEED = 20261121

#: Short, so that what was lost is noticed within the test's time.
SETTINGS = {
    "PENSTOCK_LEASE_S": "2",
    "PENSTOCK_RING_AFTER_S": "1",
    "PENSTOCK_RING_CAP_S": "3",
    "PENSTOCK_MAX_ATTEMPTS": "50",
}


@pytest.fixture(params=["redis", "rabbitmq"])
def durable_broker(request: pytest.FixtureRequest, durable_redis: RedisServer) -> Broker:
    """Each broker in turn, with a ledger that keeps what it answered."""
    if request.param == "redis":
        return Broker(server=durable_redis, url=durable_redis.url, redis=durable_redis)
    rabbit = request.getfixturevalue("rabbit_server")
    return Broker(server=rabbit, url=rabbit.url(rabbit.new_vhost()), redis=durable_redis)


@pytest.fixture
def killed(durable_broker: Broker, tmp_path: Path) -> Iterator[dict[str, Process]]:
    """Two workers, a scheduler and a producer, on a catalog with the witness."""
    with durable_broker.redis.client() as client:
        publish_witness(client, Keys())
    settings = {
        **SETTINGS,
        "PENSTOCK_GUEST_LOG_FILE": str(tmp_path / "witness.log"),
        "PENSTOCK_CACHE_DIR": str(tmp_path / "cache"),
    }
    processes: dict[str, Process] = {
        name: Worker(broker=durable_broker, folder=tmp_path / name, name=name, environment=settings)
        for name in ("w1", "w2")
    }
    processes["scheduler"] = Scheduler(
        broker=durable_broker, folder=tmp_path / "scheduler", environment=settings
    )
    processes["producer"] = Process(
        [sys.executable, "-m", "tests.chaos.feed", str(tmp_path), str(SINGLES), str(MAPPED)],
        name="producer",
        folder=tmp_path / "producer",
        environment={**durable_broker.environment, **SETTINGS, "PYTHONPATH": str(Path.cwd())},
    )
    with ExitStack() as stack:
        for process in processes.values():
            stack.enter_context(process)
        yield processes


@pytest.mark.timeout(400)
def test_B4_two_thousand_calls_survive_the_killing_of_everything(
    killed: dict[str, Process], durable_broker: Broker, tmp_path: Path
) -> None:
    """Workers, scheduler and producer are killed, Redis is restarted; then everything is counted."""
    dice = random.Random(SEED)
    victims = ["w1", "w1", "w2", "w2", "scheduler", "producer", "redis"]
    kills = 0
    while kills < KILLS:
        time.sleep(dice.uniform(0.3, 1.5))
        victim = dice.choice(victims)
        process = durable_broker.redis if victim == "redis" else killed[victim]
        if process.running:
            process.kill()
            kills += 1
        process.restart()
    killed["producer"].restart()
    killed["producer"].wait(120)

    with Producer.connect(durable_broker.url, redis_url=durable_broker.redis.url) as producer:
        lines = [line.split() for line in (tmp_path / "singles").read_text().splitlines()]
        single_jobs = {int(n): job for n, job, *rest in (line for line in lines if len(line) == 2)}
        map_job = producer.job((tmp_path / "map").read_text())
        results = {n: producer.job(job).result(wait_s=120) for n, job in single_jobs.items()}
        results |= {SINGLES + (r.index or 0): r for r in map_job.results(wait_s=120)}

    assert sorted(results) == list(range(SINGLES + MAPPED)), "an accepted call was lost"
    assert [n for n, r in results.items() if not r.success or r.data != {"n": n}] == []
    seen = executions(tmp_path / "witness.log")
    assert sorted(seen) == list(range(SINGLES + MAPPED)), "a result was recorded that was never executed"
    with durable_broker.redis.client() as client:
        ledger = Ledger(client, Keys())
        for job in {*single_jobs.values(), map_job.id}:
            _, entries = ledger.completions(job, count=10_000)
            named = [i for entry in entries for i in entry.indexes]
            assert len(named) == len(set(named)) == ledger.job(job).total, "a result was recorded twice"
        wait_until(lambda: client.zcard(Keys().open) == 0, 30, "no batch is open")
