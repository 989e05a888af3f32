"""Messages that nobody of ours sent: no worker dies of them, and the next call succeeds (B-4)."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection

from penstock_broker_config.queues import declare
from penstock_scheduler import Producer
from tests.integration.test_worker import publish
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

QUEUE = "penstock.default"
HEADERS: dict[str, Any] = {
    "lang": "py",
    "task": "penstock.run",
    "id": "1",
    "root_id": "1",
    "parent_id": None,
    "group": None,
    "retries": 0,
}
GOOD_BODY = b'[["x.0"],{},{}]'
#: What JSON can read and pickle cannot write.
DEEP = b"[" * 700 + b"]" * 700

#: Name, body, headers.
HOSTILE: dict[str, tuple[bytes, Any]] = {
    "time limit that is no number": (GOOD_BODY, HEADERS | {"timelimit": ["a", "b"]}),
    "time limit that is no list": (GOOD_BODY, HEADERS | {"timelimit": "garbage"}),
    "id that is a table": (GOOD_BODY, HEADERS | {"id": {"a": 1}}),
    "no id": (GOOD_BODY, {k: v for k, v in HEADERS.items() if k != "id"}),
    "body of two parts": (b'[["x.0"],{}]', HEADERS),
    "body that is no JSON": (b"\xff\x00", HEADERS),
    "callbacks that are none": (
        b'[["x.0"],{},{"callbacks":[5],"errbacks":"x","chain":7,"chord":3}]',
        HEADERS,
    ),
    "compressed, it says": (GOOD_BODY, HEADERS | {"compression": "application/x-gzip"}),
    "eta and expiry that are no times": (GOOD_BODY, HEADERS | {"eta": "soon", "expires": [1]}),
    "retries that are no number": (GOOD_BODY, HEADERS | {"retries": "many"}),
    "shadow that is a list": (GOOD_BODY, HEADERS | {"shadow": ["x"]}),
    "no headers to speak of": (GOOD_BODY, {}),
    "group that is a number": (GOOD_BODY, HEADERS | {"group": 7}),
    "args nested deep": (b'[["x.0",%b],{},{}]' % DEEP, HEADERS),
    "chain nested deep": (b'[["x.0"],{},{"chain":%b}]' % DEEP, HEADERS),
}


def put(client: redis.Redis, body: str, headers: Any, encoding: str = "utf-8") -> None:
    """Put a message into the Redis broker's queue as kombu lays it out."""
    message = {
        "body": body,
        "content-encoding": encoding,
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": str(uuid.uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "penstock", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    client.lpush(f"penstock:{QUEUE}", json.dumps(message))


@pytest.fixture
def producer(broker: Broker, tmp_path: Path) -> Iterator[Producer]:
    """A producer, and one worker that must outlive the test."""
    publish(broker, "text")
    worker = Worker(broker=broker, folder=tmp_path / "w1")
    with worker, Producer.connect(broker.url, redis_url=broker.redis.url) as producer:
        pid = worker.pid
        yield producer
        assert worker.running
        assert worker.pid == pid


def serves(producer: Producer) -> bool:
    """Whether a good call succeeds."""
    return producer.submit("text.slug", {"text": "x"}).result(wait_s=30).success


def test_B4_hostile_messages_are_dropped_on_both_brokers(broker: Broker, producer: Producer) -> None:
    """Each by itself, sent through the broker's own protocol."""
    queue = declare(QUEUE, broker.url)
    with Connection(broker.url, transport_options={"global_keyprefix": "penstock:"}) as connection:
        sender = connection.Producer()
        for body, headers in HOSTILE.values():
            sender.publish(
                body,
                exchange=queue.exchange,
                routing_key=QUEUE,
                declare=[queue],
                headers=headers,
                content_type="application/json",
                content_encoding="utf-8",
            )
            assert serves(producer)


def test_B4_what_kombu_cannot_read_does_not_end_the_worker(redis_server: RedisServer, tmp_path: Path) -> None:
    """Elements of the Redis list that are no messages at all."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    publish(broker, "text")
    worker = Worker(broker=broker, folder=tmp_path / "w1")
    good = base64.b64encode(GOOD_BODY).decode()
    with worker, Producer.connect(broker.url) as producer, redis_server.client() as client:
        for garbage in ("garbage, not JSON", json.dumps({"a": 1}), "[]", "null", '"x"'):
            client.lpush(f"penstock:{QUEUE}", garbage)
            assert serves(producer)
        for headers in ([1], None, "x", 7):
            put(client, good, headers)
            assert serves(producer)
        put(client, "%%% not base64", HEADERS)
        assert serves(producer)
        put(client, good, HEADERS | {"stamped": json.loads(DEEP)})
        assert serves(producer)
        disguised = b'[["x.0",%b],{},{}]' % DEEP.replace(b"[", b"+AFs-").replace(b"]", b"+AF0-")
        put(client, base64.b64encode(disguised).decode(), HEADERS, "utf-7")
        assert serves(producer)
        assert worker.running


def test_B4_mutated_messages_do_not_end_the_worker(redis_server: RedisServer, tmp_path: Path) -> None:
    """A real doorbell with random parts replaced, many times over; then everything is consumed."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    publish(broker, "text")
    worker = Worker(broker=broker, folder=tmp_path / "w1")
    dice = random.Random(7)
    junk: list[Any] = [
        None,
        True,
        -1,
        10**30,
        0.5,
        "",
        "x" * 500,
        "\x00\ud83d",
        [],
        [[]],
        {},
        {"a": {"b": []}},
    ]
    with worker, Producer.connect(broker.url) as producer, redis_server.client() as client:
        for _ in range(150):
            parts: list[Any] = [["x.0"], {}, {}]
            headers = HEADERS | {"id": str(uuid.uuid4())}
            for _ in range(dice.randint(1, 3)):
                if dice.random() < 0.3:
                    parts[dice.randrange(len(parts))] = dice.choice(junk)
                else:
                    names = [
                        *HEADERS,
                        "timelimit",
                        "eta",
                        "expires",
                        "stamps",
                        "stamped_headers",
                        "ignore_result",
                    ]
                    headers[dice.choice(names)] = dice.choice(junk)
            put(client, base64.b64encode(json.dumps(parts).encode()).decode(), headers)
        assert serves(producer)
        assert worker.running


def test_a_forged_time_limit_does_not_end_a_running_call(redis_server: RedisServer, tmp_path: Path) -> None:
    """The message may not say how long a call takes: the call ends by its own limit."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    publish(broker, "hostile")
    folder = tmp_path / "w1"
    with Producer.connect(broker.url) as producer, redis_server.client() as client:
        job = producer.submit("hostile.loop", {}, timeout_s=1.0)
        client.delete(f"penstock:{QUEUE}")
        body = base64.b64encode(json.dumps([[f"{job.id}.0"], {}, {}]).encode()).decode()
        put(client, body, HEADERS | {"timelimit": [0.3, None]})
        with Worker(broker=broker, folder=folder):
            result = job.result(wait_s=30)

    assert result.error is not None
    assert result.error.code == "TIMEOUT"
    assert result.metadata.attempts == 1


@pytest.mark.parametrize("what", [{"chain": 7}, {"chain": [{"task": 5}]}, {"callbacks": 7}, {"chord": ["x"]}])
def test_L7_a_signature_that_nothing_can_follow_is_dropped(
    redis_server: RedisServer, tmp_path: Path, what: dict[str, Any]
) -> None:
    """Its canvas could never go on, and would be sent for ever."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    publish(broker, "text")
    with Producer.connect(broker.url) as producer, redis_server.client() as client:
        signature = producer.signature("text.slug", {"text": "A b"})
        body = base64.b64encode(json.dumps([[], signature.kwargs, what]).encode()).decode()
        put(client, body, HEADERS | {"task": signature.task, "id": "a-task", "group": "a-group"})
        with Worker(broker=broker, folder=tmp_path / "w1") as worker:
            worker.wait_for_log("A message is dropped: its ")
            assert serves(producer)

        assert client.exists("penstock:canvases") == 0


def test_L7_a_signatures_message_need_not_say_how_its_arguments_look(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Celery's own says it, for people; who writes messages without Celery may leave it out."""
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    publish(broker, "text")
    with Producer.connect(broker.url) as producer, redis_server.client() as client:
        signature = producer.signature("text.slug", {"text": "A b"})
        body = base64.b64encode(json.dumps([[], signature.kwargs, {}]).encode()).decode()
        put(client, body, HEADERS | {"task": signature.task, "id": "a-task"})
        with Worker(broker=broker, folder=tmp_path / "w1"):
            ended = wait_until(lambda: client.keys("*celery-task-meta-a-task"), 30, "the task ends")
            said = json.loads(client.get(ended[0]) or b"{}")

    assert said["status"] == "SUCCESS", said
