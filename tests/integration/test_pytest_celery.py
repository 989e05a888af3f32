"""pytest-celery's own setup over our processes: two workers on each broker, seen through its nodes."""

from __future__ import annotations

import signal

import pytest
from pytest_celery import CeleryTestSetup

from penstock_scheduler import Producer
from tests.support.brokers import Broker
from tests.support.publishing import publish_shipped


@pytest.fixture(autouse=True)
def text_is_published(broker: Broker) -> None:
    """Published before the workers start, so that they have it warm."""
    publish_shipped(broker.redis, "text")


def test_both_workers_answer_and_work(broker: Broker, celery_setup: CeleryTestSetup) -> None:
    """Celery's control reaches both under the names that the nodes say; calls are answered."""
    with Producer(broker.settings()) as producer:
        job = producer.map("text.slug", [{"text": f"Row {number}"} for number in range(200)])
        results = job.result(wait_s=60)

    pongs = celery_setup.app.control.broadcast("ping", reply=True, limit=2, timeout=30)

    assert {name for pong in pongs for name in pong} == {
        node.hostname() for node in celery_setup.worker_cluster
    }
    assert [result.data for result in results] == [{"slug": f"row-{number}"} for number in range(200)]
    assert celery_setup.ready(control=True, docker=True)


def test_the_other_worker_takes_over(broker: Broker, celery_setup: CeleryTestSetup) -> None:
    """One worker is killed; what is submitted afterwards is answered by the other."""
    killed, other = celery_setup.worker_cluster
    killed.kill()

    with Producer(broker.settings()) as producer:
        result = producer.submit("text.slug", {"text": "Still Here"}).result(wait_s=60)

    assert result.data == {"slug": "still-here"}
    assert result.metadata.worker.startswith(other.hostname())
    assert (killed.container.status, other.container.status) == ("exited", "running")


def test_a_worker_can_be_stopped_and_started_again(broker: Broker, celery_setup: CeleryTestSetup) -> None:
    """SIGTERM ends it in order, and the restarted one is ready again, with both runs in its log."""
    worker = celery_setup.worker
    process = worker.container.process
    first = process.pid

    worker.kill(signal.SIGTERM)
    worker.restart()

    worker.assert_log_exists("Ready, warm: text@")
    assert process.pid != first
    assert worker.logs().count("Ready, warm: ") == 2
