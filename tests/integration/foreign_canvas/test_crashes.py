"""A canvas goes on from the moment that a task of ours was begun, whoever is killed (L-7, B-4)."""

from __future__ import annotations

import os
import signal

import pytest
from celery import chain, chord

from penstock_broker_config.canvases import Canvases
from penstock_broker_config.crash import CANVAS_POINTS
from penstock_broker_config.envelope import Signer
from penstock_broker_config.foreign import run_of_task
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import JobState
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ToolError
from penstock_plugins.pipelines.builder import Pipeline, tool
from tests.integration.foreign_canvas.conftest import Site
from tests.support.waiting import wait_until

WAIT_S = 90
#: Runs of each point; `make chaos SCENARIO=crash_points` makes 100.
RUNS = int(os.environ.get("CHAOS_RUNS", "2"))

#: Its run ends in another task than the one that began it.
BOTH = (
    Pipeline("both")
    .parallel({"a": [tool("text.stats")], "b": [tool("text.stats")]})
    .transform({"words": "{{data.a.words}}"})
)


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("broker", ["redis"], indirect=True)
@pytest.mark.parametrize("point", [point for point in CANVAS_POINTS if point.startswith("worker.")])
def test_B4_a_canvas_goes_on_wherever_a_process_ends(site: Site, point: str, run: int) -> None:
    """A call and a run, each with a task of theirs behind it, and a body behind both."""
    once = site.folder / "once"
    site.worker(environment={"PENSTOCK_CRASH_AT": f"{point}:{once}"})
    site.scheduler()
    app = site.theirs
    words = app.signature("theirs.words")
    call = chain(site.sign("text.stats", {"text": "a b"}), words, app=app)
    runs = chain(BOTH.signature(site.producer, {"text": "a b c"}, app=app), words, app=app)

    sent = chord([call, runs], app.signature("theirs.total"), app=app).apply_async()

    assert sent.get(timeout=WAIT_S) == 5
    assert once.exists()
    assert len(site.producer.jobs()) == 2


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("broker", ["redis"], indirect=True)
@pytest.mark.parametrize("point", [point for point in CANVAS_POINTS if point.startswith("scheduler.")])
def test_B4_a_scheduler_may_end_before_it_sends_a_kept_message(site: Site, point: str, run: int) -> None:
    """As after a worker that kept the message, and was lost with what the broker had given it."""
    signature = site.sign("text.stats", {"text": "a b"})
    sent = signature.freeze()
    options = {"task_id": sent.id, "root_id": sent.id, "queue": "penstock.default"}
    message = {"task": signature.task, "args": list(signature.args), "kwargs": signature.kwargs}
    with site.broker.redis.client() as client:
        Canvases(client, Keys(), Signer(None)).keep(run_of_task(sent.id), message | {"options": options})
        client.zadd(Keys().canvases, {run_of_task(sent.id): 1})  # as if its time had come

    crashed = site.scheduler(environment={"PENSTOCK_CRASH_AT": point})
    status = crashed.wait(60)
    site.scheduler()
    site.worker()

    assert sent.get(timeout=WAIT_S)["words"] == 2
    assert status == -signal.SIGKILL
    assert len(site.producer.jobs()) == 1


def test_B4_a_call_whose_worker_was_killed_goes_on_in_another(site: Site) -> None:
    """The message may stay with the dead one for an hour: the ledger knows what is to be done."""
    first = site.worker("w1")
    site.scheduler()
    sent = site.sign("lab.forever", {}, timeout_s=8.0).apply_async()
    wait_until(lambda: [job.state for job in site.producer.jobs()] == [JobState.RUNNING], WAIT_S, "it runs")

    first.kill()
    site.worker("w2")

    with pytest.raises(ToolError) as caught:
        sent.get(timeout=WAIT_S)
    assert caught.value.code is ErrorCode.TIMEOUT
    assert len(site.producer.jobs()) == 1
