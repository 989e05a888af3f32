"""The RabbitMQ of the tests: isolated from the machine's, and durable where it says so."""

from __future__ import annotations

from pathlib import Path

import kombu
import pytest

from tests.support.brokers import Broker
from tests.support.rabbit_server import RabbitServer, missing_rabbit


def quorum_queue(name: str) -> kombu.Queue:
    """A queue that survives the death of its node."""
    return kombu.Queue(name, durable=True, queue_arguments={"x-queue-type": "quorum"})


def publish(url: str, queue: kombu.Queue, message: str) -> None:
    """Publish and wait for the broker's confirmation."""
    with kombu.Connection(url, transport_options={"confirm_publish": True}) as connection:
        connection.Producer().publish(message, routing_key=queue.name, declare=[queue])


def get(url: str, queue: kombu.Queue) -> str | None:
    """Take one message. None: there is none."""
    with kombu.Connection(url) as connection:
        message = queue(connection.default_channel).get(no_ack=True)
        return None if message is None else str(message.payload)


def test_a_confirmed_message_survives_a_killed_server(tmp_path: Path) -> None:
    """A quorum queue has what was confirmed, after SIGKILL and on the same port."""
    if (missing := missing_rabbit()) is not None:
        pytest.skip(missing)
    with RabbitServer(tmp_path / "rabbitmq") as server:
        queue, url = quorum_queue("kept"), server.url(server.new_vhost())
        publish(url, queue, "still here")
        server.settle()

        server.kill()
        server.start()

        assert get(url, queue) == "still here"


def test_vhosts_are_worlds_of_their_own(rabbit_server: RabbitServer) -> None:
    """A queue of the same name in another vhost is another queue."""
    queue = quorum_queue("same")
    one, other = (rabbit_server.url(rabbit_server.new_vhost()) for _ in range(2))

    publish(one, queue, "for one")
    publish(other, queue, "for the other")

    assert (get(one, queue), get(other, queue)) == ("for one", "for the other")


def test_the_management_plugin_is_off(rabbit_server: RabbitServer) -> None:
    """It would open a default port and make the start slow."""
    assert rabbit_server.control("eval", "rabbit_plugins:active().").strip() == "[]"


def test_a_broker_says_itself_in_settings_and_environment(broker: Broker) -> None:
    """Both spellings lead to the same two servers."""
    settings = broker.settings()

    assert (settings.broker_url, settings.redis_url) == (broker.url, broker.redis.url)
    assert broker.environment == {"PENSTOCK_BROKER_URL": broker.url, "PENSTOCK_REDIS_URL": broker.redis.url}
    assert broker.url.startswith({"redis": "redis://", "rabbitmq": "amqp://"}[broker.name])
