"""pytest-celery on our processes: its clusters are the broker, the Redis and two workers of this test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBroker,
    CeleryWorkerCluster,
    RedisTestBackend,
)

from penstock_broker_config.app import create_app
from tests.support.brokers import Broker
from tests.support.browser import find_browser
from tests.support.celery_nodes import WorkerContainer, WorkerNode, broker_container, store_container
from tests.support.penstock_processes import Worker

#: A browser is too much to install for one page: where there is none, its tests are not part of the run.
collect_ignore = [] if find_browser() else ["test_demo_report.py"]


@pytest.fixture
def silent_broker() -> Iterator[str]:
    """The URL of a broker that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"amqp://guest:guest@127.0.0.1:{listening.getsockname()[1]}//"


@pytest.fixture
def celery_broker_cluster(broker: Broker) -> CeleryBrokerCluster:
    """The server of the doorbells, Redis and RabbitMQ in turn."""
    return CeleryBrokerCluster(CeleryTestBroker(broker_container(broker)))


@pytest.fixture
def celery_backend_cluster(broker: Broker) -> CeleryBackendCluster:
    """The Redis of the ledger."""
    return CeleryBackendCluster(RedisTestBackend(store_container(broker)))


@pytest.fixture
def celery_setup_app(broker: Broker) -> Iterator[Celery]:
    """Penstock's own app, as a producer has it."""
    with create_app(broker.settings()) as app:
        yield app


@pytest.fixture
def celery_worker_cluster(
    broker: Broker, celery_setup_app: Celery, tmp_path: Path
) -> Iterator[CeleryWorkerCluster]:
    """Two workers with one pool process each."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker(broker=broker, folder=tmp_path / name, name=name))
            for name in ("w1", "w2")
        ]
        yield CeleryWorkerCluster(
            *(WorkerNode(WorkerContainer(worker), celery_setup_app) for worker in workers)
        )
