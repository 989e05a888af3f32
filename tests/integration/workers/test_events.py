"""What a worker tells Flower: each event of each task, several in one message."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock_broker_config.app import create_app
from penstock_scheduler import Producer
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.publishing import publish_shipped
from tests.support.waiting import wait_until

CALLS = 20


@contextmanager
def messages_of(broker: Broker) -> Iterator[list[list[dict[str, Any]]]]:
    """The events of tasks, as the messages came in which they were."""
    heard: list[list[dict[str, Any]]] = []
    ended = threading.Event()
    with create_app(broker.settings()) as app, app.connection_for_read() as connection:
        queue = app.events.Receiver(connection).queue

        def hear(body: Any, _: object) -> None:
            if isinstance(body, list):
                heard.append(body)

        def listen() -> None:
            while not ended.is_set():
                try:
                    connection.drain_events(timeout=0.2)
                except TimeoutError:
                    connection.heartbeat_check()

        with connection.Consumer([queue], callbacks=[hear], accept=["json"], no_ack=True):
            thread = threading.Thread(target=listen)
            thread.start()
            try:
                yield heard
            finally:
                ended.set()
                thread.join()


def kinds(messages: list[list[dict[str, Any]]]) -> Counter[str]:
    """How many events of each kind there are."""
    return Counter(event["type"] for message in messages for event in message)


def test_events_of_tasks_go_out_together_and_none_is_left_behind(broker: Broker, tmp_path: Path) -> None:
    """Also the last ones: the worker stops before their time has come."""
    publish_shipped(broker.redis, "text")
    with messages_of(broker) as heard, Producer.connect(broker.url, redis_url=broker.redis.url) as producer:
        worker = Worker(broker=broker, folder=tmp_path / "w1", name="w1")
        with worker:
            for number in range(CALLS):
                assert producer.submit("text.slug", {"text": f"Row {number}"}).result(wait_s=30).success
            worker.stop()
        every = {"task-received": CALLS, "task-started": CALLS, "task-succeeded": CALLS}
        wait_until(lambda: kinds(heard) == every, 10, "all events are heard")

    assert len(heard) < 2 * CALLS, f"{len(heard)} messages"
