"""The one factory of the Celery app, for producers, the scheduler and workers alike.

Every safe setting is on, but none of them is what Penstock's promise rests on: messages are doorbells, and
the ledger is the truth.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from penstock_broker_config.foreign import OurCelery, plain_app
from penstock_broker_config.location import located
from penstock_broker_config.queues import DEFAULT, declare
from penstock_broker_config.redis_transport import OurAMQP
from penstock_broker_config.sentinel import is_sentinel, kombu_options
from penstock_broker_config.settings import Settings
from penstock_broker_config.tls import broker_ssl
from penstock_broker_config.urls import AMQP_SCHEMES, for_kombu, scheme_of

#: The task that looks at one batch. Its only argument is the batch's id.
RUN_TASK = "penstock.run"

#: The task that looks at one stage of a flow. Its arguments are the flow's id and the stage.
STEP_TASK = "penstock.step"

#: Seconds after which an unacknowledged doorbell is delivered again. The lease decides whether that matters.
VISIBILITY_TIMEOUT_S = 3600


def create_app(settings: Settings) -> Celery:
    """A Celery app on the configured broker.

    Raises:
        UnreachableError: nothing is configured and nothing runs here.
    """
    where = located(settings)
    broker = where.broker_url or ""
    options = _transport_options(broker, settings.prefix)
    app = OurCelery("penstock", broker=for_kombu(broker), amqp=OurAMQP, set_as_current=False)
    app.key_prefix = settings.prefix
    app.plain = plain_app(for_kombu(broker), broker, settings.foreign_queue, options)
    app.conf.update(
        # What travels
        accept_content=["json"],
        result_accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # Results of those who ask for them, with canvas of their own (see `result_backend`)
        result_backend="penstock_broker_config.result_backend:StepBackend",
        penstock_result_url=where.celery_result_backend or where.redis_url,
        result_expires=settings.result_ttl_s,
        result_failure_expires=settings.failure_ttl_s,
        # Where it travels
        task_queues=[declare(name, broker) for name in where.queues],
        task_default_queue=DEFAULT,
        task_default_exchange="penstock",
        task_default_exchange_type="direct",
        task_default_routing_key=DEFAULT,
        task_create_missing_queues=False,
        # Delivery
        task_acks_late=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=scheme_of(broker) not in AMQP_SCHEMES,
        broker_transport_options=options,
        broker_use_ssl=broker_ssl(broker),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=3.0,
        broker_heartbeat=10,
        # Workers
        worker_send_task_events=True,
        task_send_sent_event=False,
        worker_enable_remote_control=True,
        worker_hijack_root_logger=False,
        worker_eta_task_limit=1000,
        worker_soft_shutdown_timeout=settings.soft_shutdown_s,
        worker_enable_soft_shutdown_on_idle=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Pool processes load native code before they are ready; Celery's default of 4 s ends them for ever.
        worker_proc_alive_timeout=120.0,
    )
    return app


def _transport_options(broker: str, prefix: str) -> dict[str, Any]:
    if scheme_of(broker) in AMQP_SCHEMES:
        return {"confirm_publish": True, "max_retries": 3, "interval_start": 0, "interval_step": 0.2}
    return {
        **(kombu_options(broker) if is_sentinel(broker) else {}),
        "global_keyprefix": prefix,
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 5,
        "max_retries": 3,
        "interval_start": 0,
        "interval_step": 0.2,
    }
