"""A canvas goes on when RabbitMQ gives no answer while a worker of ours sends what follows (L-7)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from celery import chain

from penstock_plugins.errors import ToolError
from penstock_plugins.pipelines.builder import Pipeline, tool
from tests.integration.foreign_canvas.conftest import Site
from tests.support.penstock_processes import Worker
from tests.support.rabbit_server import RabbitServer
from tests.support.waiting import wait_until

WAIT_S = 60
pytestmark = pytest.mark.parametrize("broker", ["rabbitmq"], indirect=True)

#: With a fan-out: its first step is a message.
BOTH = (
    Pipeline("both")
    .parallel({"a": [tool("text.stats")], "b": [tool("text.stats")]})
    .transform({"words": "{{data.a.words}}"})
)


def test_L7_a_run_whose_first_step_was_not_sent_goes_on(site: Site) -> None:
    """The task does not end with the broker's error: its run has begun."""
    worker = site.worker()
    site.scheduler()
    runs: Any = BOTH.signature(site.producer, {"text": "a b"}, app=site.theirs)

    with _silent_while_it_sends(site, worker, runs, "timed out") as sent:
        pass

    assert sent.get(timeout=WAIT_S) == {"words": 2}
    assert len(site.producer.jobs()) == 1


def test_L7_what_follows_a_call_and_was_not_sent_is_sent_again(site: Site) -> None:
    """Neither result is the broker's error, for as long as it does not answer."""
    worker = site.worker()
    site.scheduler()
    words = site.theirs.signature("theirs.words")
    call = chain(site.sign("text.stats", {"text": "a b c"}), words, app=site.theirs)

    with _silent_while_it_sends(site, worker, call, "Giving up refused callback publish") as sent:
        assert (sent.parent.state, sent.state) == ("PENDING", "PENDING")

    assert sent.get(timeout=WAIT_S) == 3
    assert sent.parent.get(timeout=WAIT_S)["words"] == 3
    assert len(site.producer.jobs()) == 1


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [("lab.shaky", {}, "not here"), ("text.stats", {"text": "{{input.text}}"}, "input.text")],
    ids=["of the tool", "of its input"],
)
def test_L7_a_failure_whose_callback_was_not_sent_stays_what_it_is(
    site: Site, name: str, params: dict[str, Any], says: str
) -> None:
    """The callback is sent once the broker answers, and `AsyncResult` has our own error all the time."""
    worker = site.worker()
    site.scheduler()
    failing = site.sign(name, params)
    failing.link_error(site.theirs.signature("theirs.failed"))

    with _silent_while_it_sends(site, worker, failing, "Exception raised outside body") as sent:
        before = site.theirs.AsyncResult(sent.id).result

    assert isinstance(before, ToolError)
    wait_until(lambda: sent.id in site.noted("theirs:failed"), WAIT_S, "the failure is called back")
    with pytest.raises(ToolError, match=says):
        site.theirs.AsyncResult(sent.id).get(timeout=WAIT_S)


@contextmanager
def _silent_while_it_sends(site: Site, worker: Worker, canvas: Any, given_up: str) -> Iterator[Any]:
    """Send a canvas; RabbitMQ stands still from when our worker has the message until it has given up.

    Args:
        site: where.
        worker: ours.
        canvas: to be sent.
        given_up: what the worker's log says then.
    """
    rabbit = site.broker.server
    assert isinstance(rabbit, RabbitServer)
    vhost = site.broker.url.rpartition("/")[2]
    listed = ("list_queues", "--no-table-headers", "-p", vhost, "messages_unacknowledged")
    pool = psutil.Process(worker.pid).children()
    for process in pool:
        process.suspend()
    sent = canvas.apply_async()
    wait_until(lambda: "1" in rabbit.control(*listed).split(), WAIT_S, "our worker has the message")
    rabbit.signal(signal.SIGSTOP)
    try:
        for process in pool:
            process.resume()
        worker.wait_for_log(given_up, WAIT_S)
        yield sent
    finally:
        rabbit.signal(signal.SIGCONT)
