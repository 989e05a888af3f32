"""Canvas of others: our tasks among those of a user's own app, and theirs after ours (L-7).

A user's app knows nothing of how ours is configured: on Redis it has no prefix, on RabbitMQ it would declare
queues in its own way. So our signatures say where they go as any app spells it, and what our processes send
to tasks of others goes as a plain app would send it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from celery import Celery
from celery.app.amqp import AMQP, Queues
from kombu import Exchange, Queue

from penstock_broker_config.tls import broker_ssl
from penstock_broker_config.urls import AMQP_SCHEMES, scheme_of

#: Tasks of our signatures: one call of a tool, one item of a pipeline.
CALL_TASK = "penstock.call"
PIPELINE_TASK = "penstock.pipeline"

#: What a signature's sealed text is sealed for.
SIGNATURE = "a Celery signature"

_OURS = "penstock."
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: A run that a signature begins has an id like no other job's: its length, and how it begins.
_RUN_BEGINS, _RUN_DIGITS = "x", 25


def run_of_task(task_id: str) -> str:
    """The run that a task of ours begins, always the same however often its message comes."""
    number = int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:16], "big")
    return _RUN_BEGINS + "".join(_ALPHABET[number >> 5 * k & 31] for k in range(_RUN_DIGITS))


def is_foreign(run: str) -> bool:
    """Whether a canvas of somebody else's waits for this run."""
    return len(run) == 1 + _RUN_DIGITS and run.startswith(_RUN_BEGINS)


def after_context(run: str) -> str:
    """What the message is sealed for that goes on with a canvas when a run has ended."""
    return f"canvas after run {run}"


def send_options(queue: str, *, broker: str, prefix: str) -> dict[str, str]:
    """Where a signature goes, for an app that knows our broker and nothing else of us.

    Args:
        queue: full name of our queue.
        broker: its URL.
        prefix: of our keys.
    """
    if scheme_of(broker) in AMQP_SCHEMES:
        # No queue: the app would declare it, and not as we do.
        return {"exchange": "penstock", "routing_key": queue}
    return {"queue": prefix + queue}


class OurCelery(Celery):
    """Our app. What is not ours it sends as a plain app on the same broker would."""

    #: Begins the names of our queues when others spell them.
    key_prefix = ""
    #: Sends what is not ours.
    plain: Celery

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """See Celery."""
        if not name.startswith(_OURS):
            # A connection of ours would put our prefix before the queue's name.
            for connected in ("producer", "publisher", "connection", "task_type"):
                options.pop(connected, None)
            options.setdefault("declare", [])
            return self.plain.send_task(name, *args, **options)
        queue = options.get("queue")
        if isinstance(queue, str):
            options["queue"] = queue.removeprefix(self.key_prefix)
        return super().send_task(name, *args, **options)


class _TheirQueues(Queues):
    """Any queue by its name, through the default exchange. Whoever consumes from it declares it."""

    def __missing__(self, name: str) -> Queue:
        return Queue(name, Exchange(""), routing_key=name)


class _TheirAMQP(AMQP):
    queues_cls = _TheirQueues


def plain_app(url: str, broker: str, queue: str, transport_options: dict[str, Any]) -> Celery:
    """An app that sends tasks of others; it consumes nothing, and declares nothing.

    Args:
        url: of the broker, as kombu reads it.
        broker: the same, as it was configured.
        queue: where tasks go whose signatures do not say.
        transport_options: of our connections.
    """
    app = Celery("penstock-foreign", broker=url, amqp=_TheirAMQP, set_as_current=False)
    options = {name: value for name, value in transport_options.items() if name != "global_keyprefix"}
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_queues=[Queue(queue, Exchange(""), routing_key=queue)],
        task_default_queue=queue,
        task_create_missing_queues=False,
        broker_transport_options=options,
        broker_use_ssl=broker_ssl(broker),
        broker_connection_timeout=3.0,
        broker_heartbeat=10,
    )
    return app
