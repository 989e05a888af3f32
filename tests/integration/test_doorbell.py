"""Doorbells are ready before the first of them is rung, where the broker answers."""

from __future__ import annotations

from penstock_broker_config.app import create_app
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.ledger import DispatchTerms, Ledger
from penstock_broker_config.settings import load_settings
from penstock_scheduler.dispatcher import Dispatcher
from tests.support.brokers import Broker
from tests.support.ports import LOOPBACK, free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

QUEUES = ("penstock.default", "penstock.high")


def test_a_dispatcher_that_is_prepared_rings_over_a_queue_that_is_there(broker: Broker) -> None:
    """Nothing waits in it before, and one doorbell after that."""
    settings = broker.settings()
    doorbell = Doorbell(create_app(settings))
    with broker.redis.client() as client:
        dispatcher = Dispatcher(Ledger(client, settings.keys), doorbell, DispatchTerms(), queues=QUEUES)

        dispatcher.prepare()
        before = doorbell.depths(QUEUES)
        doorbell.ring("b", queue=QUEUES[0], tool="text.slug", calls=1)

        assert before == dict.fromkeys(QUEUES, 0)
        rung = {QUEUES[0]: 1, QUEUES[1]: 0}  # RabbitMQ counts a moment later
        wait_until(
            lambda: doorbell.depths(QUEUES) == rung, 30, lambda: f"{doorbell.depths(QUEUES)} is {rung}"
        )
    doorbell.close()


def test_a_dispatcher_begins_while_the_broker_is_away(redis_server: RedisServer) -> None:
    """Its first doorbell tries again, and until then the reaper's."""
    for scheme in ("redis", "amqp"):
        away = f"{scheme}://{LOOPBACK}:{free_port()}/"
        settings = load_settings(broker_url=away, redis_url=redis_server.url)
        doorbell = Doorbell(create_app(settings))
        with redis_server.client() as client:
            Dispatcher(Ledger(client, settings.keys), doorbell, DispatchTerms(), queues=QUEUES).prepare()
        doorbell.close()
