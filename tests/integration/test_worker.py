"""Workers on both brokers: results, cancel, deadlines, signing, pools, late plugins, fleets, refusals."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from penstock_broker_config.app import RUN_TASK, create_app
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import JobState
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import read_bundle
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.record import PluginRecord
from penstock_plugins.shipped import shipped_plugins
from penstock_scheduler import Producer
from penstock_workers.inspection import inspect_plugin
from tests.chaos.witness import publish_witness
from tests.support.brokers import Broker
from tests.support.lab import publish_lab
from tests.support.penstock_processes import Penstock, Scheduler, Worker
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

StartWorker = Callable[..., Worker]


def publish(broker: Broker, name: str) -> PluginRecord:
    """Publish a shipped plugin, as `penstock plugin publish` does."""
    bundle = read_bundle(shipped_plugins() / name)
    inspection = inspect_plugin(bundle)
    assert inspection.ok, inspection.problems
    with broker.redis.client() as client:
        return RedisCatalog(client, Keys()).publish(
            bundle, inspection.tools, imports=list(inspection.imports)
        )


@pytest.fixture
def start_worker(broker: Broker, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers that end with the test."""
    with ExitStack() as stack:

        def start(*options: str, **settings: Any) -> Worker:
            name = settings.pop("name", "w1")
            environment = {f"PENSTOCK_{key.upper()}": str(value) for key, value in settings.items()}
            worker = Worker(
                *options, broker=broker, folder=tmp_path / name, name=name, environment=environment
            )
            return stack.enter_context(worker)

        yield start


@pytest.fixture
def producer(broker: Broker) -> Iterator[Producer]:
    """A producer on the test's broker."""
    with Producer.connect(broker.url, redis_url=broker.redis.url) as producer:
        yield producer


def test_a_call_goes_through_a_real_worker(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """Submit, queue, sandbox, result, with the metadata of T-2."""
    digest = publish(broker, "text").digest
    start_worker()

    result = producer.submit("text.slug", {"text": "Hello, World"}).result(wait_s=30)

    assert result.data == {"slug": "hello-world"}
    assert result.metadata.plugin_digest == digest
    assert result.metadata.worker.startswith("w1@")
    assert result.metadata.attempts == 1
    assert result.metadata.execution_ms > 0
    assert result.metadata.queued_ms > 0


def test_partial_failure_of_a_map_loses_nothing(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """Bad rows have their own failures; the good ones their results, in input order."""
    publish(broker, "text")
    start_worker()
    rows = [{"text": f"Row {n}"} if n % 3 else {"nonsense": n} for n in range(100)]

    job = producer.map("text.slug", rows)
    results = job.result(wait_s=60)

    assert [r.index for r in results] == list(range(100))
    assert [r.success for r in results] == [bool(n % 3) for n in range(100)]
    assert results[1].data == {"slug": "row-1"}
    assert results[0].error is not None
    assert results[0].error.code is ErrorCode.VALIDATION_ERROR
    assert job.state is JobState.FAILED


def test_E1_an_endless_loop_is_stopped_and_the_same_process_serves_the_next_call(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """The worker's process lives on."""
    publish(broker, "text")
    publish(broker, "hostile")
    start_worker()

    stopped = producer.submit("hostile.loop", {}, timeout_s=0.2).result(wait_s=30)
    after = producer.submit("text.slug", {"text": "x"}).result(wait_s=30)

    assert stopped.error is not None
    assert stopped.error.code is ErrorCode.TIMEOUT
    assert after.success
    assert after.metadata.worker == stopped.metadata.worker or after.metadata.worker.startswith("w1@")


def test_J2_cancel_stops_a_running_guest_and_the_process_lives_on(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """The same process id serves the next call, long before the loop's own time was up."""
    publish(broker, "text")
    with broker.redis.client() as client:
        publish_lab(client)
    start_worker()
    before = producer.submit("text.slug", {"text": "x"}).result(wait_s=30)
    job = producer.submit("lab.forever", {})
    wait_until(lambda: job.state is JobState.RUNNING, 30, "the loop runs")

    cancelled = job.cancel()

    result = job.result(wait_s=30)
    after = producer.submit("text.slug", {"text": "x"}).result(wait_s=30)
    assert cancelled
    assert job.state is JobState.CANCELLED
    assert result.error is not None
    assert result.error.code is ErrorCode.CANCELLED
    assert after.metadata.worker == before.metadata.worker


def test_J2_calls_that_wait_never_start_once_cancelled(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """Cancelled before any worker lives."""
    publish(broker, "text")
    job = producer.map("text.slug", ({"text": str(n)} for n in range(50)))
    job.submitted(wait_s=30)

    job.cancel()
    start_worker()
    probe = producer.submit("text.slug", {"text": "x"}).result(wait_s=30)

    assert probe.success
    assert job.progress().done == 0
    assert {r.error.code for r in job.result(wait_s=10) if r.error} == {ErrorCode.CANCELLED}


def test_I1_a_deadline_ends_what_waits(broker: Broker, producer: Producer, tmp_path: Path) -> None:
    """With a scheduler and no worker at all."""
    publish(broker, "text")
    with Scheduler(broker=broker, folder=tmp_path / "s"):
        job = producer.submit("text.slug", {"text": "x"}, deadline_s=0.2)
        result = job.result(wait_s=30)

    assert job.state is JobState.EXPIRED
    assert result.error is not None
    assert result.error.code is ErrorCode.TIMEOUT


def test_I10_once_a_key_is_set_other_calls_are_refused(broker: Broker, start_worker: StartWorker) -> None:
    """Unsigned and wrongly signed calls fail; the right key's succeed."""
    publish(broker, "text")
    start_worker(signing_key="the right key, 16 bytes at least")
    results = {}

    for key in (None, "some other key, 16 bytes at least", "the right key, 16 bytes at least"):
        with Producer.connect(broker.url, redis_url=broker.redis.url, signing_key=key) as producer:
            results[key] = producer.submit("text.slug", {"text": "x"}).result(wait_s=30)

    unsigned, other, right = results.values()
    assert unsigned.error is not None
    assert other.error is not None
    assert unsigned.error.code is other.error.code is ErrorCode.PERMISSION_DENIED
    assert right.success


def test_B4_forged_and_doubled_doorbells_change_nothing(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """Whatever the message says, the ledger decides."""
    publish(broker, "text")
    start_worker()
    first = producer.submit("text.slug", {"text": "x"})
    first.result(wait_s=30)

    with create_app(broker.settings()) as app:
        forged: list[Any] = ["nothing.0", f"{first.id}.0", "x" * 5000, 7, None, {"a": 1}, ["b"]]
        for argument in forged:
            app.send_task(RUN_TASK, args=(argument,), queue="penstock.default")
        app.send_task(RUN_TASK, args=(), kwargs={"surprise": 1}, queue="penstock.default")
        app.send_task("os.system", args=("true",), queue="penstock.default")
    after = producer.submit("text.slug", {"text": "y"}).result(wait_s=30)

    assert after.success
    assert first.progress().done == 1


def test_I9_a_pool_is_served_by_the_workers_that_name_it(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """A call for a pool waits until a worker of that pool comes."""
    publish(broker, "text")
    start_worker(name="common")
    job = producer.submit("text.slug", {"text": "x"}, queue="pool.gpu")
    other = producer.submit("text.slug", {"text": "x"}).result(wait_s=30)
    waiting = job.state

    start_worker("--queue", "pool.gpu", name="gpu")
    result = job.result(wait_s=30)

    assert waiting is JobState.QUEUED
    assert other.metadata.worker.startswith("common@")
    assert result.metadata.worker.startswith("gpu@")


def test_W10_a_plugin_that_is_published_later_is_warm_without_a_restart(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """The worker says so, and the first call of it finds it compiled."""
    worker = start_worker()

    publish(broker, "text")
    worker.wait_for_log("Published since, and warm: text@1.1.0", 60)
    result = producer.submit("text.slug", {"text": "x"}).result(wait_s=30)

    assert result.success


def test_a_published_plugin_is_compiled_by_one_host_of_a_fleet(
    broker: Broker, start_worker: StartWorker, producer: Producer, tmp_path: Path
) -> None:
    """A second host, with its own disk and the fleet's key, takes it and runs it."""
    fleet_key = "the fleet's key, 16 bytes at least"
    publish(broker, "text")
    first = start_worker(name="w1", cache_dir=tmp_path / "cache1", fleet_key=fleet_key)
    first.wait_for_log("is offered to the fleet", 60)

    second = start_worker(name="w2", cache_dir=tmp_path / "cache2", fleet_key=fleet_key)
    first.stop()
    result = producer.submit("text.slug", {"text": "x"}).result(wait_s=30)

    assert "Compiled here, " in first.log()
    assert "Taken from the fleet, " in second.log()
    assert "Compiled here, " not in second.log()
    assert result.metadata.worker.startswith("w2@")


def test_P7_a_plugin_that_is_gone_fails_its_calls_and_says_so(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """The catalog lost it after the call was accepted: TOOL_NOT_READY, at the first try."""
    record = publish(broker, "text")
    job = producer.submit("text.slug", {"text": "x"})
    with broker.redis.client() as client:
        client.hdel(Keys().catalog_records, record.digest)

    start_worker()
    result = job.result(wait_s=30)

    assert result.error is not None
    assert result.error.code is ErrorCode.TOOL_NOT_READY
    assert record.digest[:12] in result.error.message
    assert result.metadata.attempts == 1


def test_a_worker_that_is_told_to_stop_gives_its_batch_back(
    broker: Broker, start_worker: StartWorker, producer: Producer
) -> None:
    """The rest of a long batch is run by the next worker, and nobody is charged."""
    publish(broker, "text")
    first = start_worker(name="first")
    text = "lorem ipsum dolor " * 20_000
    job = producer.map("text.stats", ({"text": text + str(n)} for n in range(60)))
    wait_until(lambda: job.progress().done > 0, 60, "the first results are there")

    status = first.stop(60)
    start_worker(name="second")
    with Scheduler(broker=broker, folder=first.folder.parent / "s"):
        results = job.result(wait_s=120)

    assert status == 0
    assert all(r.success for r in results)
    assert {r.metadata.attempts for r in results} == {1}


def test_E1_a_host_call_that_does_not_come_back_ends_its_process_and_no_other_call(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """The guests' log goes to a pipe that nobody reads: the call that waits for it is ended with its process.

    It loses its worker as often as it may, and is set aside; once the pipe is read, the worker serves others.
    """
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    with redis_server.client() as client:
        publish_witness(client, Keys())
    pipe = tmp_path / "guests.pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    environment = {
        "PENSTOCK_CACHE_DIR": str(tmp_path / "cache"),
        "PENSTOCK_GUEST_LOG_FILE": str(pipe),
        "PENSTOCK_OVERRUN_GRACE_S": "0.3",
        "PENSTOCK_LEASE_S": "1",
        "PENSTOCK_RING_AFTER_S": "0.5",
        "PENSTOCK_RING_CAP_S": "1",
    }
    worker = Worker(broker=broker, folder=tmp_path / "w1", environment=environment)
    scheduler = Scheduler(broker=broker, folder=tmp_path / "s", environment=environment)
    with worker, scheduler, Producer.connect(broker.url) as producer:
        filling = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while os.write(filling, b"x" * 4096):
                pass
        stuck = producer.submit("witness.run", {"n": 1}, timeout_s=0.5).result(wait_s=60)
        drain = threading.Thread(target=_read_all, args=(reader,), daemon=True)
        drain.start()
        after = producer.submit("witness.run", {"n": 2}).result(wait_s=60)
        os.close(filling)

    drain.join(10)
    assert stuck.error is not None
    assert stuck.error.code is ErrorCode.QUARANTINED
    assert stuck.metadata.attempts == 3
    assert after.data == {"n": 2}


def _read_all(fd: int) -> None:
    """Read a pipe until nobody writes to it any more."""
    os.set_blocking(fd, True)
    while os.read(fd, 1 << 16):
        pass
    os.close(fd)


@pytest.mark.parametrize(
    ("pool", "reason"),
    [("gevent", "no deadline would stop"), ("threads", "one global"), ("solo", "end the worker")],
)
def test_S3_other_pools_are_refused_with_the_reason(
    redis_server: RedisServer, tmp_path: Path, pool: str, reason: str
) -> None:
    """Before anything is consumed; exit status 2."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    with Penstock("worker", "--pool", pool, broker=broker, folder=tmp_path, name="refused") as refused:
        status = refused.wait(60)

    assert status == 2
    assert reason in refused.log()


def test_S3_a_redis_that_evicts_is_refused(redis_server: RedisServer, tmp_path: Path) -> None:
    """Evicted keys are lost calls."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    with redis_server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with Penstock("worker", broker=broker, folder=tmp_path, name="refused") as refused:
                status = refused.wait(60)
        finally:
            client.config_set("maxmemory-policy", "noeviction")

    assert status == 2
    assert "noeviction" in refused.log()


def test_the_heartbeat_file_is_touched_while_the_worker_is_well(
    broker: Broker, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Probes need look at nothing else."""
    beat = tmp_path / "beat"
    start_worker("--heartbeat-file", str(beat))
    wait_until(beat.exists, 30, "the first beat")
    first = beat.stat().st_mtime_ns

    wait_until(lambda: beat.stat().st_mtime_ns > first, 30, "the next beat")


def test_R11_a_consumer_whose_credit_has_leaked_connects_anew(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """However a credit was leaked, the worker notices, and consumes again."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    publish(broker, "text")
    leak = tmp_path / "leak.py"
    leak.write_text(_LEAK)
    worker = Worker(
        broker=broker,
        folder=tmp_path / "w1",
        environment={
            "PENSTOCK_CACHE_DIR": str(tmp_path / "cache"),
            "PYTHONPATH": str(tmp_path),
            # Each doorbell is answered by itself, so that each one needs its credit.
            "PENSTOCK_CHAIN_S": "0",
        },
    )
    (tmp_path / "sitecustomize.py").write_text("import leak\n")
    with worker, Producer.connect(broker.url) as producer:
        results = [producer.submit("text.slug", {"text": "x"}) for _ in range(6)]
        done = [job.result(wait_s=60).success for job in results]
        worker.wait_for_log("lost its prefetch credit")

    assert done == [True] * 6


#: Makes the first acknowledgements of the worker fail, as a broken connection does.
_LEAK = """
import penstock_broker_config.redis_transport as transport

_ack, _left = transport.QoS.ack, [3]


def ack(self, tag):
    if _left[0]:
        _left[0] -= 1
        raise ConnectionError("injected")
    return _ack(self, tag)


transport.QoS.ack = ack
"""
