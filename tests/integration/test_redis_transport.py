"""Our transport under kombu: one client for each channel, in threads and forks; no credit lost by an ack."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kombu.transport import redis as kombu_redis

from penstock_broker_config.app import create_app
from penstock_broker_config.doorbell import RING_ERRORS, Doorbell
from penstock_broker_config.queues import BULK, DEFAULT, HIGH, declare
from penstock_broker_config.redis_transport import Transport
from penstock_broker_config.settings import load_settings
from tests.support.brokers import Broker
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

RINGS = 20


@pytest.fixture
def doorbell(broker: Broker) -> Iterator[Doorbell]:
    """A doorbell on the test's broker."""
    doorbell = Doorbell(create_app(broker.settings()))
    yield doorbell
    doorbell.close()


def ring(doorbell: Doorbell, name: str) -> None:
    """Ring some times."""
    for n in range(RINGS):
        doorbell.ring(f"{name}.{n}", queue=DEFAULT, tool="text.slug", calls=1)


@pytest.mark.parametrize("url", ["redis://h:1/0", "rediss://h:1/0", "unix:///tmp/r.sock?db=2"])
def test_every_redis_url_gets_our_transport(url: str) -> None:
    """Also the connections of pools and copies, which kombu makes anew from the URL."""
    connection = create_app(load_settings(broker_url=url)).connection_for_write()
    pooled = connection.Pool(limit=1).acquire()

    assert [c.get_transport_cls() for c in (connection, connection.clone(), pooled)] == [Transport] * 3
    assert connection.as_uri().startswith("redis")


def test_other_brokers_and_other_apps_keep_their_transport() -> None:
    """RabbitMQ's is untouched, and so is kombu's own for whoever else is in this process."""
    app = create_app(load_settings(broker_url="amqp://h:1//", redis_url="redis://h:1/0"))

    assert app.connection_for_write().get_transport_cls().driver_name == "py-amqp"
    assert kombu_redis.Transport.Channel is kombu_redis.Channel


def test_a_channel_has_one_client_until_its_pool_is_made_anew(redis_server: RedisServer) -> None:
    """And another one for waiting, which nobody else may use."""
    connection: Any = create_app(load_settings(broker_url=redis_server.url)).connection_for_write()
    with connection, connection.channel() as channel:
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            pass
        channel._disconnect_pools()
        with channel.conn_or_acquire() as third:
            assert third.ping()

        assert first is second
        assert third is not first
        assert channel.client is not third


def test_I9_urgent_queues_are_served_first_and_none_never(redis_server: RedisServer) -> None:
    """Of a backlog on all of them; every eighth message is of the queue that has waited longest."""
    app = create_app(load_settings(broker_url=redis_server.url))
    doorbell, names = Doorbell(app), [BULK, "penstock.pool.gpu", DEFAULT, HIGH]
    for name in names:
        for n in range(10):
            doorbell.ring(f"{name}.{n}", queue=name, tool="text.slug", calls=1)
    came: list[str] = []

    def take(_: Any, message: Any) -> None:
        came.append(message.delivery_info["routing_key"])
        message.ack()

    queues = [declare(name, redis_server.url) for name in names]
    with app.connection_for_read() as connection, connection.Consumer(queues, callbacks=[take]):
        while len(came) < 40:
            connection.drain_events(timeout=10)
    doorbell.close()

    first = [HIGH] * 7 + [BULK] + [HIGH] * 3
    assert came[: len(first)] == first
    assert [came.index(name) for name in (HIGH, DEFAULT)] == [0, len(first)]
    assert sorted(came) == sorted(names * 10)


def test_threads_and_forked_processes_ring_over_one_doorbell(broker: Broker, doorbell: Doorbell) -> None:
    """Nobody's answer reaches another: every ring arrives."""
    doorbell.depths([DEFAULT])
    ring(doorbell, "warm")
    threads = [threading.Thread(target=ring, args=(doorbell, f"thread{n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = 5 * RINGS
    if (
        broker.name == "redis"
    ):  # a connection to RabbitMQ does not survive a fork, with kombu's or any transport
        child = os.fork()
        if child == 0:
            try:
                ring(doorbell, "child")
                os._exit(0)
            finally:
                os._exit(1)
        ring(doorbell, "parent")
        assert os.waitpid(child, 0)[1] == 0
        expected += 2 * RINGS

    def depth() -> int:  # RabbitMQ counts a moment later
        return doorbell.depths([DEFAULT])[DEFAULT]

    wait_until(lambda: depth() >= expected, 30, lambda: f"{depth()} of {expected} rings arrived")
    assert depth() == expected


@pytest.mark.parametrize("answer", ["ack", "reject", "requeue"])
def test_B4_an_answer_that_fails_gives_its_credit_back(durable_redis: RedisServer, answer: str) -> None:
    """Redis is away; the message is still there when it is back, and the consumer has room for it."""
    app = create_app(load_settings(broker_url=durable_redis.url))
    doorbell = Doorbell(app)
    connection: Any = app.connection_for_read()
    with connection, connection.channel() as channel:
        channel.basic_qos(0, 1, False)
        queue = declare(DEFAULT, durable_redis.url).bind(channel)
        queue.declare()
        doorbell.ring("j.0", queue=DEFAULT, tool="text.slug", calls=1)
        message: Any = queue.get()
        assert not channel.qos.can_consume()
        durable_redis.kill()

        with pytest.raises((*RING_ERRORS, *connection.connection_errors)):
            message.requeue() if answer == "requeue" else getattr(message, answer)()

        assert channel.qos.can_consume()
        durable_redis.start()
        with durable_redis.client() as client:
            assert client.hlen("penstock:unacked") == 1
    doorbell.close()


def test_B4_a_consumer_connects_anew_with_messages_that_it_could_not_give_back(
    durable_redis: RedisServer,
) -> None:
    """Redis is away while Celery's consumer clears its connection, closes it, and makes another."""
    app = create_app(load_settings(broker_url=durable_redis.url))
    doorbell = Doorbell(app)
    came: list[Any] = []
    queue = declare(DEFAULT, durable_redis.url)

    def take_one(connection: Any) -> None:
        doorbell.ring("j.0", queue=DEFAULT, tool="text.slug", calls=1)
        before = len(came)
        connection.Consumer([queue], callbacks=[lambda _, message: came.append(message)]).consume()
        while len(came) == before:
            connection.drain_events(timeout=10)

    connection: Any = app.connection_for_read()
    take_one(connection)
    remote_control: Any = connection.channel()  # a second channel, as every worker has
    remote_control.Consumer([declare(HIGH, durable_redis.url)]).consume()
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.01)  # from now on it waits for the next message
    durable_redis.kill()

    connection.collect()
    connection.close()
    with pytest.raises(connection.connection_errors):
        came[0].ack()

    durable_redis.start()
    with app.connection_for_read() as another:
        take_one(another)
    assert len(came) == 2
    doorbell.close()
