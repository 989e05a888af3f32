"""The producer on a real Redis: submit, map, and the handles that any process can open."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from penstock_broker_config.app import create_app
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import JobState, Ledger, ReapTerms
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import (
    ConfigurationError,
    ConflictError,
    ExecutionError,
    JobFailedError,
    JobNotFoundError,
    ParamsError,
    ToolNotFoundError,
    UnreachableError,
    WaitTimeoutError,
)
from penstock_plugins.tool import Traits
from penstock_scheduler import Producer
from penstock_scheduler.chunking import MAX_BYTES
from penstock_scheduler.hopper import Hopper
from tests.support.brokers import Broker
from tests.support.ledger_worker import LedgerWorker, publish
from tests.support.ports import LOOPBACK, free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

WAIT_S = 60.0


def double(params: dict[str, Any]) -> int:
    """The tool of most tests. A negative number is a failure of its own."""
    number = int(params["n"])
    if number < 0:
        raise ExecutionError(f"{number} is negative", {"n": number})
    return 2 * number


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the test's Redis, with the plugin `demo` in its catalog."""
    with redis_server.client() as client:
        publish(client, "double", parameters={"type": "object", "properties": {"n": {"type": "integer"}}})
        yield client


@pytest.fixture
def producer(redis_server: RedisServer, client: redis.Redis) -> Iterator[Producer]:
    """A producer on the test's Redis."""
    producer = Producer.connect(redis_server.url)
    yield producer
    producer.close(wait=False)


@pytest.fixture
def worker(redis_server: RedisServer, client: redis.Redis) -> Iterator[LedgerWorker]:
    """Somebody who runs what is submitted."""
    with LedgerWorker(redis_server.url, {"demo.double": double}) as worker:
        yield worker


def numbers(count: int) -> Iterator[dict[str, int]]:
    """Inputs of a map."""
    return ({"n": n} for n in range(count))


def held(gate: threading.Event, count: int = 0) -> Iterator[dict[str, int]]:
    """The same inputs, which do not end before the gate opens."""
    yield from numbers(count)
    gate.wait(WAIT_S)


class TestSubmit:
    """One call."""

    def test_a_call_gives_its_result(self, producer: Producer, worker: LedgerWorker) -> None:
        """With its id, its tool's full name, and no index."""
        job = producer.submit("double", {"n": 21})

        result = job.result(WAIT_S)

        assert (result.success, result.data, result.tool, result.index) == (True, 42, "demo.double", None)
        assert result.call_id == f"{job.id}.0"
        wait_until(lambda: job.state is JobState.SUCCEEDED, WAIT_S, "the job has ended")

    def test_a_failure_of_the_tool_is_a_result(self, producer: Producer, worker: LedgerWorker) -> None:
        """And an exception only for those who ask for one."""
        result = producer.submit("demo.double", {"n": -1}).result(WAIT_S)

        assert not result.success
        assert result.error is not None
        assert (result.error.code, result.error.details) == (ErrorCode.EXECUTION_ERROR, {"n": -1})
        with pytest.raises(ExecutionError, match="-1 is negative"):
            result.unwrap()

    def test_a_wait_that_is_too_short_leaves_the_job_alone(self, producer: Producer) -> None:
        """No worker runs here."""
        job = producer.submit("double", {"n": 1})

        with pytest.raises(WaitTimeoutError, match="goes on"):
            job.result(0)
        assert job.state is JobState.QUEUED

    def test_bad_params_are_refused_with_every_path(self, producer: Producer) -> None:
        """Before anything is submitted."""
        with pytest.raises(ParamsError) as caught:
            producer.submit("double", {"n": "many"})

        assert [violation["path"] for violation in caught.value.details["errors"]] == ["$.n"]
        assert producer.jobs() == []

    def test_an_unknown_tool_is_refused(self, producer: Producer) -> None:
        """With a guess."""
        with pytest.raises(ToolNotFoundError, match=r"Unknown tool: doubel.*double"):
            producer.submit("doubel", {})

    def test_a_tool_that_was_published_a_moment_ago_is_found(
        self, producer: Producer, client: redis.Redis
    ) -> None:
        """Without connecting again; and its new release is used from then on."""
        producer.submit("double", {"n": 1})
        publish(client, "triple", plugin="more")

        assert producer.submit("triple", {}).tool == "more.triple"

        release = publish(client, "double", version="1.1.0")
        producer.submit("double", {"n": 1})
        assert producer.submit("double", {"n": 1}).record().digest == release.digest

    def test_the_queue_comes_from_the_caller_or_the_manifest(
        self, producer: Producer, client: redis.Redis
    ) -> None:
        """The doorbell rings there."""
        publish(client, "big", plugin="heavy", wasm='pool = "gpu"')

        producer.submit("double", {"n": 1})
        producer.submit("double", {"n": 1}, queue="bulk")
        producer.submit("heavy.big", {})

        for name in ("penstock.default", "penstock.bulk", "penstock.pool.gpu"):
            assert client.llen(f"penstock:{name}") == 1, name
        with pytest.raises(ConfigurationError, match="Unknown queue"):
            producer.submit("double", {"n": 1}, queue="fast")

    def test_signed_calls_are_what_the_worker_checks(
        self, redis_server: RedisServer, client: redis.Redis
    ) -> None:
        """With the key that both have."""
        secret = "a key that both sides have"  # noqa: S105 - of this test alone
        with (
            Producer.connect(redis_server.url, signing_key=secret) as producer,
            LedgerWorker(redis_server.url, {"demo.double": double}, secret=secret.encode()),
        ):
            assert producer.submit("double", {"n": 2}).result(WAIT_S).data == 4
            assert [r.data for r in producer.map("double", numbers(3)).result(WAIT_S)] == [0, 2, 4]

    def test_B4_a_submit_does_not_need_the_broker(
        self, redis_server: RedisServer, client: redis.Redis
    ) -> None:
        """The doorbell is only a doorbell: the ledger has the call, and the reaper finds it."""
        nowhere = f"amqp://{LOOPBACK}:{free_port()}//"
        with (
            Producer.connect(nowhere, redis_url=redis_server.url) as producer,
            LedgerWorker(redis_server.url, {"demo.double": double}),
        ):
            assert producer.submit("double", {"n": 3}).result(WAIT_S).data == 6

    def test_doorbells_ring_on_either_broker(self, broker: Broker) -> None:
        """One for each batch, on the queue that was asked for."""
        with broker.redis.client() as client, Producer(broker.settings()) as producer:
            publish(client, "double")
            producer.submit("double", {"n": 1})
            producer.map("double", numbers(20), queue="bulk").submitted(WAIT_S)
            batches = client.zcard(Keys().open)

        doorbell = Doorbell(create_app(broker.settings()))

        def rang() -> bool:  # RabbitMQ counts a moment later
            depths = doorbell.depths(["penstock.default", "penstock.bulk"])
            return depths == {"penstock.default": 1, "penstock.bulk": batches - 1}

        wait_until(rang, WAIT_S, "every batch has rung once")
        doorbell.close()


class TestIdempotency:
    """The same key stands for the same call."""

    def test_E6_the_same_params_give_the_first_job(self, producer: Producer, worker: LedgerWorker) -> None:
        """Also after it has ended; their order does not matter."""
        first = producer.submit("double", {"n": 4, "m": 1}, idempotency_key="k")
        first.result(WAIT_S)

        second = producer.submit("double", {"m": 1, "n": 4}, idempotency_key="k")

        assert second.id == first.id
        assert second.result(WAIT_S).data == 8
        assert sum(worker.batches) == 1

    def test_E6_other_params_are_a_conflict(self, producer: Producer) -> None:
        """The error names the job that has the key."""
        first = producer.submit("double", {"n": 4}, idempotency_key="k")

        with pytest.raises(ConflictError) as caught:
            producer.submit("double", {"n": 5}, idempotency_key="k")
        assert caught.value.details["job_id"] == first.id

    def test_E6_another_tenant_or_tool_has_keys_of_its_own(
        self, producer: Producer, client: redis.Redis
    ) -> None:
        """I-8."""
        publish(client, "triple", plugin="more")

        ids = {
            producer.submit(tool, {"n": 1}, idempotency_key="k", tenant=tenant).id
            for tool in ("double", "triple")
            for tenant in ("a", "b")
        }

        assert len(ids) == 4


class TestMap:
    """Many calls."""

    def test_results_are_in_input_order(self, producer: Producer, worker: LedgerWorker) -> None:
        """Each with its index."""
        job = producer.map("double", numbers(1000))

        results = job.result(WAIT_S)

        assert [result.data for result in results] == [2 * n for n in range(1000)]
        assert [result.index for result in results] == list(range(1000))
        assert job.submitted() == 1000

    def test_J1_results_come_as_calls_end(self, producer: Producer, worker: LedgerWorker) -> None:
        """While the input still goes on."""
        more: queue.SimpleQueue[dict[str, int] | None] = queue.SimpleQueue()
        results = producer.map("double", iter(more.get, None)).results(WAIT_S)
        seen = []

        for n in range(5):
            more.put({"n": n})
            seen.append(next(results).data)
        more.put(None)

        assert seen == [0, 2, 4, 6, 8]
        assert list(results) == []

    def test_J1_failures_of_some_calls_leave_the_others_alone(
        self, producer: Producer, worker: LedgerWorker
    ) -> None:
        """Also rows that do not fit the schema or are no JSON."""
        rows: list[Any] = [{"n": 1}, {"n": -1}, {"n": object()}, {"n": 2}]

        job = producer.map("double", rows)
        results = job.result(WAIT_S)

        assert [result.success for result in results] == [True, False, False, True]
        assert [r.error.code for r in results if r.error] == [
            ErrorCode.EXECUTION_ERROR,
            ErrorCode.VALIDATION_ERROR,
        ]
        assert "Not sent" in results[2].error.message if results[2].error else False
        progress = job.progress()
        assert (progress.done, progress.failed, progress.total) == (2, 2, 4)
        assert progress.state is JobState.FAILED

    def test_a_strict_map_ends_at_the_first_row_that_does_not_fit(
        self, producer: Producer, worker: LedgerWorker
    ) -> None:
        """What came before is kept."""
        job = producer.map("double", [{"n": 1}, {"n": "x"}, {"n": 2}], on_invalid="stop")

        with pytest.raises(JobFailedError, match=r"Input 1: .*\$\.n"):
            job.submitted(WAIT_S)
        assert job.progress().accepted == 1

    def test_an_empty_input_is_a_job_that_succeeds(self, producer: Producer) -> None:
        """With no results."""
        job = producer.map("double", [])

        assert job.result(WAIT_S) == []
        assert job.state is JobState.SUCCEEDED
        assert job.progress().total == 0

    def test_it_returns_before_the_input_has_begun(self, producer: Producer) -> None:
        """And the job can be looked at."""
        gate = threading.Event()

        def slow() -> Iterator[dict[str, int]]:
            gate.wait(WAIT_S)
            yield {"n": 1}

        job = producer.map("double", slow())

        progress = job.progress()
        assert (progress.state, progress.accepted, progress.total) == (JobState.QUEUED, 0, None)
        with pytest.raises(WaitTimeoutError):
            job.submitted(0)
        gate.set()
        assert job.submitted(WAIT_S) == 1
        assert job.progress().total == 1

    def test_an_input_that_raises_fails_the_job_and_keeps_what_it_gave(
        self, producer: Producer, worker: LedgerWorker
    ) -> None:
        """I-3."""

        def broken() -> Iterator[dict[str, int]]:
            yield from numbers(20)
            raise OSError("the disk is gone")

        job = producer.map("double", broken())

        with pytest.raises(JobFailedError, match="the disk is gone") as caught:
            job.submitted(WAIT_S)
        assert isinstance(caught.value.__cause__, OSError)
        given: list[Any] = []
        with pytest.raises(JobFailedError, match="OSError: the disk is gone"):
            given.extend(result.data for result in job.results(WAIT_S))
        assert sorted(given) == [2 * n for n in range(20)]
        assert job.state is JobState.FAILED

    def test_what_is_in_flight_is_bounded(
        self, redis_server: RedisServer, client: redis.Redis, worker: LedgerWorker
    ) -> None:
        """An endless input waits for the workers."""
        worker.hold()
        with Producer.connect(redis_server.url, max_in_flight=50) as producer:
            job = producer.map("double", numbers(500))
            wait_until(lambda: job.progress().accepted >= 24, WAIT_S, "the window fills")
            with pytest.raises(WaitTimeoutError):
                job.submitted(0.5)
            assert job.progress().accepted <= 50

            worker.open.set()

            assert len(job.result(WAIT_S)) == 500

    def test_chunks_grow_to_the_measured_cost(
        self, redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Cheap calls travel by the hundred, and no chunk passes the cap."""
        # No chunk leaves for its age, however slowly this machine reads the inputs.
        monkeypatch.setattr(Hopper.__init__, "__kwdefaults__", {"linger_s": WAIT_S, "max_bytes": MAX_BYTES})
        with (
            LedgerWorker(redis_server.url, {"demo.double": double}, cost_us=100.0) as worker,
            Producer.connect(redis_server.url) as producer,
        ):
            producer.submit("double", {"n": 1}).result(WAIT_S)
            producer.map("double", numbers(5000)).result(WAIT_S)

        assert max(worker.batches[:2]) <= 8
        assert max(worker.batches) == 512

    def test_large_params_travel_in_batches_of_a_megabyte(
        self, producer: Producer, worker: LedgerWorker
    ) -> None:
        """Whatever the calls cost."""
        rows = ({"n": n, "pad": "x" * 200_000} for n in range(64))

        assert len(producer.map("double", rows).result(WAIT_S)) == 64

        assert max(worker.batches) <= 5

    def test_maps_leave_no_threads_behind(self, producer: Producer, worker: LedgerWorker) -> None:
        """Nor do the ended ones stay in the producer."""
        before = threading.active_count()

        for _ in range(50):
            producer.map("double", numbers(2)).result(WAIT_S)

        wait_until(lambda: threading.active_count() <= before + 2, WAIT_S, "the feeders have ended")


class TestResume:
    """A map whose feeder ended goes on in another process."""

    def test_it_goes_on_with_the_first_input_that_was_not_accepted(
        self, redis_server: RedisServer, client: redis.Redis, worker: LedgerWorker
    ) -> None:
        """Every input has one result."""
        gate = threading.Event()

        first = Producer.connect(redis_server.url)
        job_id = first.map("double", held(gate, 100)).id
        wait_until(lambda: first.job(job_id).progress().accepted == 100, WAIT_S, "100 are accepted")
        first.close(wait=False)
        gate.set()

        with Producer.connect(redis_server.url) as second:
            results = second.map("double", numbers(150), job=job_id).result(WAIT_S)

        assert [result.data for result in results] == [2 * n for n in range(150)]

    def test_a_feeder_that_was_stopped_says_so(self, redis_server: RedisServer, client: redis.Redis) -> None:
        """To whoever waits for the input's end."""
        gate = threading.Event()
        producer = Producer.connect(redis_server.url)
        job = producer.map("double", held(gate))

        producer.close(wait=False)
        gate.set()

        with pytest.raises(JobFailedError, match="resumed"):
            job.submitted(WAIT_S)

    def test_the_plugin_stays_the_one_that_the_job_began_with(
        self, producer: Producer, client: redis.Redis, redis_server: RedisServer
    ) -> None:
        """Although a newer release was published."""
        gate = threading.Event()
        first = Producer.connect(redis_server.url)
        job = first.map("double", held(gate, 1))
        wait_until(lambda: job.progress().accepted == 1, WAIT_S, "one is accepted")
        first.close(wait=False)
        gate.set()
        old = job.id, producer.job(job.id).record().digest
        publish(client, "double", version="2.0.0")

        resumed = producer.map("double", numbers(3), job=job.id)
        resumed.submitted(WAIT_S)

        headers = {client.hget(Keys().batch(f"{job.id}.{base}"), "h") for base in (0, 1)}
        assert all(old[1].encode() in header for header in headers if header)
        assert len(headers) == 2

    def test_a_job_whose_input_has_ended_is_only_opened(
        self, producer: Producer, worker: LedgerWorker
    ) -> None:
        """There is nothing to feed."""
        job = producer.map("double", numbers(3))
        job.result(WAIT_S)

        again = producer.map("double", numbers(3), job=job.id)

        assert len(again.result(WAIT_S)) == 3
        assert again.submitted(WAIT_S) == 3

    def test_what_is_no_map_of_that_tool_is_refused(self, producer: Producer, client: redis.Redis) -> None:
        """In words."""
        publish(client, "triple", plugin="more")
        single = producer.submit("double", {"n": 1})
        other = producer.map("triple", [])

        with pytest.raises(ConfigurationError, match=r"a single call of demo\.double"):
            producer.map("double", [], job=single.id)
        with pytest.raises(ConfigurationError, match=r"a map of more\.triple"):
            producer.map("double", [], job=other.id)
        with pytest.raises(JobNotFoundError):
            producer.map("double", [], job="nosuchjob")

    def test_a_shorter_input_is_noticed(
        self, redis_server: RedisServer, producer: Producer, client: redis.Redis
    ) -> None:
        """It cannot be the same."""
        gate = threading.Event()
        first = Producer.connect(redis_server.url)
        job = first.map("double", held(gate, 10))
        wait_until(lambda: job.progress().accepted == 10, WAIT_S, "ten are accepted")
        first.close(wait=False)
        gate.set()

        with pytest.raises(JobFailedError, match="only 3"):
            producer.map("double", numbers(3), job=job.id).submitted(WAIT_S)


class TestHandles:
    """Any process opens a job by its id."""

    def test_J1_a_job_is_opened_by_another_producer(
        self, producer: Producer, worker: LedgerWorker, redis_server: RedisServer
    ) -> None:
        """Single calls and maps, with all that they are."""
        single, many = producer.submit("double", {"n": 1}), producer.map("double", numbers(10))

        with Producer.connect(redis_server.url) as other:
            one, ten = other.job(single.id), other.job(many.id)
            assert (one.single, one.tool, one.result(WAIT_S).data) == (True, "demo.double", 2)
            assert [result.data for result in ten.result(WAIT_S)] == [2 * n for n in range(10)]
            assert ten.submitted(WAIT_S) == 10
            assert {record.id for record in other.jobs()} == {single.id, many.id}

    def test_J1_any_process_sees_its_progress_and_cancels_it(
        self, producer: Producer, client: redis.Redis, redis_server: RedisServer
    ) -> None:
        """Counts, state, the deadline, and the text that somebody wrote about it."""
        job = producer.map("double", numbers(5), deadline_s=600)
        job.submitted(WAIT_S)
        client.hset(Keys().job(job.id), "status", "two of five")

        with Producer.connect(redis_server.url) as other:
            opened = other.job(job.id)
            progress, record = opened.progress(), opened.record()
            opened.cancel()
        codes = {result.error.code for result in job.result(WAIT_S) if result.error}

        assert (progress.accepted, progress.total, progress.finished) == (5, 5, 0)
        assert (progress.state, progress.status) == (JobState.QUEUED, "two of five")
        assert record.deadline_ms == record.created_ms + 600_000
        assert codes == {ErrorCode.CANCELLED}

    def test_an_unknown_job_is_not_found(self, producer: Producer) -> None:
        """Expired ones neither."""
        with pytest.raises(JobNotFoundError):
            producer.job("nosuchjob")

    def test_tools_are_listed(self, producer: Producer, client: redis.Redis) -> None:
        """With their schemas."""
        publish(client, "a", "b", plugin="more", traits=Traits())

        assert [tool.full_name for tool in producer.tools()] == ["demo.double", "more.a", "more.b"]


class TestEnds:
    """Jobs that end before their calls do."""

    def test_J1_J2_a_cancelled_map_has_a_result_for_each_call(
        self, producer: Producer, worker: LedgerWorker
    ) -> None:
        """What was recorded stays, the rest is CANCELLED, the feeder ends."""
        more: queue.SimpleQueue[dict[str, int] | None] = queue.SimpleQueue()
        job = producer.map("double", iter(more.get, None))
        for n in range(5):
            more.put({"n": n})
        wait_until(lambda: job.progress().done == 5, WAIT_S, "five have ended")
        worker.hold()
        for n in range(5, 9):
            more.put({"n": n})
        wait_until(lambda: job.progress().accepted == 9, WAIT_S, "nine are accepted")

        assert job.cancel()

        assert not job.cancel()
        more.put(None)
        job.submitted(WAIT_S)
        results = job.result(WAIT_S)
        assert [result.data for result in results[:5]] == [0, 2, 4, 6, 8]
        assert [r.error.code for r in results[5:] if r.error] == [ErrorCode.CANCELLED] * 4
        assert job.state is JobState.CANCELLED
        assert (job.progress().unrun, job.progress().finished) == (4, 9)

    def test_a_cancelled_call_is_cancelled_for_whoever_waits(
        self, producer: Producer, redis_server: RedisServer
    ) -> None:
        """In another thread."""
        job = producer.submit("double", {"n": 1})
        results: list[Any] = []
        waiting = threading.Thread(target=lambda: results.append(job.result(WAIT_S)))
        waiting.start()

        with Producer.connect(redis_server.url) as other:
            other.job(job.id).cancel()

        waiting.join(WAIT_S)
        assert results[0].error.code is ErrorCode.CANCELLED

    def test_J1_calls_past_their_deadline_are_timeouts(self, producer: Producer, client: redis.Redis) -> None:
        """The reaper ends them; no worker is needed."""
        single = producer.submit("double", {"n": 1}, deadline_s=0.05)
        many = producer.map("double", numbers(20), deadline_s=600)
        many.submitted(WAIT_S)
        ledger = Ledger(client, Keys())
        client.hset(Keys().job(many.id), "deadline", 1)  # as if the ten minutes had passed

        def ended() -> bool:
            for batch in client.zscan_iter(Keys().open):
                client.zadd(Keys().open, {batch[0]: 0})
            ledger.reap(ReapTerms())
            return single.state.final and many.state.final

        wait_until(ended, WAIT_S, "the deadlines have passed")
        result = single.result(0)
        assert result.error is not None
        assert result.error.code is ErrorCode.TIMEOUT
        assert {r.error.code for r in many.result(0) if r.error} == {ErrorCode.TIMEOUT}
        assert len(many.result(0)) == 20

    def test_an_endless_input_ends_with_the_deadline(self, producer: Producer, worker: LedgerWorker) -> None:
        """And is not taken for a whole one."""
        job = producer.map("double", ({"n": n} for n in itertools.count()), deadline_s=0.3)

        with pytest.raises(JobFailedError, match="deadline"):
            job.submitted(WAIT_S)


class TestConnecting:
    """Where Redis is, and when it is not."""

    def test_a_redis_that_does_not_answer_is_said_at_once(self) -> None:
        """With what to do about it."""
        with pytest.raises(UnreachableError, match="penstock up"):
            Producer.connect(f"redis://{LOOPBACK}:{free_port()}/0")

    def test_without_any_configuration_it_says_what_to_run(self, tmp_path: Path) -> None:
        """I-6."""
        with pytest.raises(UnreachableError, match="penstock up"):
            Producer.connect(state_dir=tmp_path)

    def test_an_unknown_setting_is_refused(self) -> None:
        """It is a mistake, not a wish."""
        with pytest.raises(ConfigurationError, match="colour"):
            Producer.connect("redis://localhost", colour="red")

    def test_a_producer_leaves_no_connections_behind(
        self, redis_server: RedisServer, client: redis.Redis
    ) -> None:
        """After it is closed."""

        def connections() -> set[str]:
            return {connection["id"] for connection in client.client_list()}

        before = connections()
        with Producer.connect(redis_server.url) as producer:
            producer.submit("double", {"n": 1})
            assert connections() - before

        # Those of others may end meanwhile, too.
        wait_until(lambda: not connections() - before, WAIT_S, "its connections are closed")

    def test_a_restart_of_redis_is_passed_over(self, durable_redis: RedisServer) -> None:
        """By the feeder and by whoever waits for results."""
        with durable_redis.client() as client:
            publish(client, "double")
        half, rest = threading.Event(), threading.Event()

        def inputs() -> Iterator[dict[str, int]]:
            yield from numbers(100)
            half.set()
            rest.wait(WAIT_S)
            yield from ({"n": n} for n in range(100, 200))

        with (
            LedgerWorker(durable_redis.url, {"demo.double": double}),
            Producer.connect(durable_redis.url) as producer,
        ):
            job = producer.map("double", inputs())
            results = job.results(WAIT_S)
            first = [next(results) for _ in range(50)]
            assert half.wait(WAIT_S)

            durable_redis.kill()
            rest.set()
            durable_redis.start()

            assert sorted(r.data for r in [*first, *results]) == [2 * n for n in range(200)]
