"""Which failures are tried again, through real workers: the log sink says how often a call was begun."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import wasmtime

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.bundle import bundle_from
from penstock_plugins.error_codes import ErrorCode
from penstock_scheduler import Producer
from penstock_workers.inspection import inspect_plugin
from tests.chaos.witness import executions
from tests.conformance.wat import ECHO, Data, ToolText, component, content, init_ok, tools
from tests.support.brokers import Broker
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.redis_server import RedisServer

WAIT_S = 60.0
_MANIFEST = """
name = "passing"
version = "1.0.0"
[wasm]
capabilities = ["log"]
[[tool]]
name = "refuse"
idempotent = true
retryable = true
retry = { max_attempts = 3, base_ms = 10, cap_ms = 20 }
[[tool]]
name = "hang"
idempotent = true
retryable = true
retry = { max_attempts = 3, base_ms = 10, cap_ms = 20 }
[[tool]]
name = "charge"
idempotent = false
retryable = false
retry = { max_attempts = 3, base_ms = 10, cap_ms = 20 }
"""


def publish_passing(client: redis.Redis) -> None:
    """Publish `passing`: `refuse` and `charge` return a DEPENDENCY_ERROR, `hang` never returns.

    `charge` is neither idempotent nor retryable.
    """
    data = Data()
    listed = tools(data, [ToolText(name=name) for name in ("refuse", "hang", "charge")])
    later = content(data, '{"code":"DEPENDENCY_ERROR","message":"away"}', is_error=True)
    # Told apart by the lengths of their names: those of `refuse` and `charge` are equal.
    call = f"""
      (call $log (i32.const 1) (local.get $args) (local.get $args-size))
      (if (i32.eq (local.get $name-size) (i32.const {len("hang")})) (then (loop $for-ever (br $for-ever))))
      (if (i32.eq (local.get $name-size) (i32.const {len("refuse")})) (then (return {later})))
      {ECHO}"""
    wat = component(
        data=data,
        init=init_ok(data, "passing", "1.0.0"),
        listed=listed,
        host=["log"],
        call=call,
    )
    bundle = bundle_from({"plugin.toml": _MANIFEST.encode(), "plugin.wasm": bytes(wasmtime.wat2wasm(wat))})
    inspection = inspect_plugin(bundle)
    assert inspection.ok, inspection.problems
    RedisCatalog(client, Keys()).publish(bundle, inspection.tools, imports=list(inspection.imports))


@pytest.fixture
def seen(redis_server: RedisServer, tmp_path: Path) -> Iterator[Path]:
    """What a scheduler and a worker with the plugin have begun."""
    with redis_server.client() as client:
        publish_passing(client)
    log = tmp_path / "executions.log"
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    environment = {"PENSTOCK_GUEST_LOG_FILE": str(log)}
    with (
        Scheduler(broker=broker, folder=tmp_path / "s"),
        Worker(broker=broker, folder=tmp_path / "w", environment=environment),
    ):
        yield log


@pytest.fixture
def producer(redis_server: RedisServer) -> Iterator[Producer]:
    """A producer on the test's broker."""
    with Producer.connect(redis_server.url) as producer:
        yield producer


def test_E2_a_returned_failure_is_tried_again_as_much_as_a_raised_one(seen: Path, producer: Producer) -> None:
    """What the guest says, and what the host says of it: three attempts each."""
    returned = producer.submit("passing.refuse", {"n": 1})
    raised = producer.submit("passing.hang", {"n": 2}, timeout_s=0.2)
    results = [job.result(WAIT_S) for job in (returned, raised)]

    assert [result.error.code for result in results if result.error] == [
        ErrorCode.DEPENDENCY_ERROR,
        ErrorCode.TIMEOUT,
    ]
    assert [result.metadata.attempts for result in results] == [3, 3]
    assert executions(seen) == {1: 3, 2: 3}


def test_E2_only_a_retryable_or_keyed_call_is_tried_again(seen: Path, producer: Producer) -> None:
    """An idempotency key says that running it again repeats nothing."""
    plain = producer.submit("passing.charge", {"n": 1})
    keyed = producer.submit("passing.charge", {"n": 2}, idempotency_key="invoice 7")
    results = [job.result(WAIT_S) for job in (plain, keyed)]

    assert [result.metadata.attempts for result in results] == [1, 3]
    assert executions(seen) == {1: 1, 2: 3}
