"""kombu's Redis transport, with four habits mended; taken by every app of ours, and by nobody else's.

Also where our apps find queues that others consume from.

kombu makes a client for each operation, which costs more than the operation; ours keeps one for each channel.
It works over the channel's own pool of connections, so threads and forked processes may use it like the pool.
And an acknowledgement that fails gives its prefetch credit back: the message is delivered again later, which
changes nothing, while lost credit would let the consumer run dry. And queues are looked at by their urgency.
And a channel that outlives its connection says that it is not connected, which Celery knows how to take; of
kombu's AttributeError a worker dies that has lost Redis.
"""

from __future__ import annotations

from typing import Any, cast

import redis
from celery.app.amqp import AMQP, Queues
from kombu import Queue
from kombu.connection import Connection, ConnectionPool, PooledConnection
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual

from penstock_broker_config.queues import declare, queue_name
from penstock_broker_config.urgency import UrgentFirst
from penstock_plugins.errors import ConfigurationError


class QoS(kombu_redis.QoS):
    """Counts what is delivered and not answered."""

    def ack(self, delivery_tag: Any) -> None:
        """Take the message out of Redis; whether or not that succeeds, it is no longer counted."""
        try:
            self._forget(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """The same for a message that goes back or is dropped."""
        try:
            if requeue:
                self.restore_by_tag(delivery_tag, leftmost=True)
            else:
                self._forget(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def _forget(self, delivery_tag: Any) -> None:
        self._remove_from_indices(delivery_tag).execute()  # type: ignore[attr-defined]  # missing in the stubs


class _OneClient:
    """A channel with one client for its commands, beside those that wait for messages."""

    pool: Any
    #: The transport. Its `client` is the connection, None once that was closed.
    connection: Any
    _one_client: Any = None
    #: See kombu: begins every key.
    global_keyprefix: str

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._queue_cycle = UrgentFirst()

    def _lookup(self, exchange: Any, routing_key: Any, default: Any = None) -> Any:
        # A message of somebody else's app (see `foreign`) names the queue with the prefix, as it is in Redis.
        prefix = self.global_keyprefix
        if not exchange and prefix and isinstance(routing_key, str) and routing_key.startswith(prefix):
            return [routing_key.removeprefix(prefix)]
        return super()._lookup(exchange, routing_key, default)  # type: ignore[misc]  # missing in the stubs

    def _connparams(self, asynchronous: bool = False) -> Any:
        # Closing a connection ends with the first channel that cannot take leave; the others find it closed.
        if self.connection.client is None:
            raise redis.ConnectionError("The connection of this channel was closed")
        return super()._connparams(asynchronous)  # type: ignore[misc]  # missing in the stubs

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # missing in the stubs
        # A channel that was disconnected makes a new pool.
        if self._one_client is None or self._one_client.connection_pool is not self.pool:
            self._one_client = super()._create_client()  # type: ignore[misc]  # missing in the stubs
        return self._one_client


class Channel(_OneClient, kombu_redis.Channel):
    """A channel to one server."""

    QoS = QoS


class SentinelChannel(_OneClient, kombu_redis.SentinelChannel):
    """A channel to whichever server the sentinels call the master."""

    QoS = QoS


class Transport(kombu_redis.Transport):
    """The transport of `redis://`, `rediss://` and `redis+socket://`."""

    Channel = Channel


class SentinelTransport(kombu_redis.SentinelTransport):
    """The transport of `sentinel://`."""

    Channel = SentinelChannel


_OURS: dict[Any, Any] = {
    kombu_redis.Transport: Transport,
    kombu_redis.SentinelTransport: SentinelTransport,
}


class _Ours(Connection):
    """Takes our transport where kombu would take its own for Redis, whichever way the URL names it."""

    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        return _OURS.get(found, found)


class OurConnection(_Ours):
    """A connection of our apps."""

    def Pool(self, limit: int | None = None, **options: Any) -> Any:
        """A pool whose connections are ours as well, which kombu's own would not be."""
        return _OurPool(self, limit, **options)


class _OurPooledConnection(_Ours, PooledConnection):
    pass


class _OurPool(ConnectionPool):
    def new(self) -> Any:
        options: dict[str, Any] = dict(self.connection._info(resolve=False))  # noqa: SLF001  # as kombu's does
        return _OurPooledConnection(self, **options)  # type: ignore[arg-type]  # the stubs have another signature


class OurQueues(Queues):
    """The queues of an app. It may send to any queue that could be ours, and consumes from its own only."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        #: Of the app, once it is known.
        self.broker_url = ""
        self._elsewhere: dict[str, Queue] = {}

    def __missing__(self, name: str) -> Queue:
        # Not added: what is in here is consumed from.
        queue = self._elsewhere.get(name)
        if queue is None:
            try:
                queue = self._elsewhere[name] = declare(queue_name(name), self.broker_url)
            except ConfigurationError:
                raise KeyError(name) from None
        return queue


class OurAMQP(AMQP):
    """Celery's factory of connections and queues."""

    Connection = OurConnection
    queues_cls = OurQueues

    def Queues(self, *args: Any, **options: Any) -> OurQueues:
        """The app's queues."""
        queues = cast("OurQueues", super().Queues(*args, **options))
        queues.broker_url = str(self.app.conf.broker_url)
        return queues
