"""The ledger for blocking code: workers, the scheduler, and producers without an event loop."""

from __future__ import annotations

from penstock_broker_config.ledger.flow_side import FlowSide
from penstock_broker_config.ledger.producer_side import ProducerSide
from penstock_broker_config.ledger.scheduler_side import SchedulerSide
from penstock_broker_config.ledger.worker_side import WorkerSide


class Ledger(ProducerSide, WorkerSide, SchedulerSide, FlowSide):
    """The truth about every job, batch and flow, changed only by scripts.

    Raises `redis.RedisError` when Redis does not answer: each method may then be called again, since every
    script records once however often it is sent.
    """
