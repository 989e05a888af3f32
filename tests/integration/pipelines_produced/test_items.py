"""One item of a run by its index: ended, on its way, or stopped with the run; on real workers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import JobState
from penstock_broker_config.value_references import is_reference
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ConfigurationError, JobNotFoundError
from penstock_plugins.pipelines.builder import Pipeline
from penstock_plugins.result import ToolResult
from penstock_scheduler import AsyncProducer, Producer
from penstock_scheduler.job import Job
from tests.support.brokers import Broker
from tests.support.waiting import wait_until

WAIT_S = 60.0
#: Items that say nothing are filtered; the others come to a step that never ends.
ENDLESS = (
    Pipeline("endless")
    .pipe("lab.echo", name="first")
    .pipe("lab.once-only", name="second")
    .filter("data.text.size() > 0")
    .pipe("lab.forever")
)
#: So many that a stage's traces are a large value.
LARGE, MANY = "x" * 7_000, 60


def traced(job: Job[Any], index: int) -> ToolResult:
    """The item, once the run's tasks are stopped."""

    def look() -> list[ToolResult]:
        found = job.item(index)
        return [] if found is None or found.trace is None else [found]

    return wait_until(look, WAIT_S, "the run's tasks are stopped")[0]


def steps(result: ToolResult | None) -> list[str]:
    """The steps in its trace."""
    assert result is not None
    return [entry["step"] for entry in result.trace or ()]


def test_L2_an_item_has_its_trace_though_its_run_was_cancelled(system: Broker, producer: Producer) -> None:
    """What its finished tasks did, however large; one that had ended before has its result."""
    rows = [{"text": "a"}, {"text": ""}, *[{"text": LARGE}] * MANY]
    job = producer.map(ENDLESS, rows, fuse=False)
    job.submitted(WAIT_S)
    wait_until(lambda: job.tree().steps[3].entered or job.item(1), WAIT_S, "the second step has ended")
    on_its_way = job.item(0)
    job.cancel()
    first, filtered, large = (traced(job, index) for index in (0, 1, 1 + MANY))
    results = [*job.results(WAIT_S), *producer.job(job.id).results(WAIT_S)]
    with system.redis.client() as client:
        kept = client.hgetall(Keys().resumable(job.id))

    assert on_its_way is None
    assert first.error is not None
    assert (first.error.code, first.index, first.metadata.attempts) == (ErrorCode.CANCELLED, 0, 0)
    assert (filtered.success, filtered.filtered) == (True, True)
    assert {(one.index == 1, one.filtered) for one in (first, large, *results)} == {
        (True, True),
        (False, False),
    }
    assert steps(filtered) == ["steps[0]", "steps[1]", "steps[2]"]
    assert steps(first)[:2] == steps(large)[:2] == ["steps[0]", "steps[1]"]
    assert (first.trace or [{}])[0]["params"] == {"text": "a"}
    assert (large.trace or [{}])[1]["params"] == {"text": LARGE}
    assert any(b":" in name and is_reference(value) for name, value in kept.items())


def test_L2_a_deadline_leaves_the_trace_as_well(system: Broker, producer: Producer) -> None:
    """Of a single item; it is the same for who awaits it."""
    job = producer.submit(ENDLESS, {"text": "a"}, deadline_s=4.0, fuse=False)
    wait_until(lambda: job.state is JobState.EXPIRED, WAIT_S, "the deadline has passed")

    async def awaited() -> ToolResult | None:
        async with AsyncProducer.connect(system.url, redis_url=system.redis.url) as other:
            return await (await other.job(job.id)).item(0)

    found = traced(job, 0)

    assert found.error is not None
    assert (found.error.code, found.index) == (ErrorCode.TIMEOUT, None)
    assert steps(found)[:2] == ["steps[0]", "steps[1]"]
    assert asyncio.run(awaited()) == found


def test_an_item_that_ended_is_its_result(system: Broker, producer: Producer) -> None:
    """Of a call of a tool as well; an index that is none is refused, and what has expired is said so."""
    run = producer.submit(Pipeline("slug").pipe("text.slug"), {"text": "To be"})
    call = producer.submit("text.slug", {"text": LARGE})
    wanted = run.result(WAIT_S), call.result(WAIT_S)

    assert (run.item(0), call.item(0)) == wanted
    for index in (1, -1):
        with pytest.raises(ConfigurationError, match=f"has no item {index}: it has 1, from 0 on"):
            run.item(index)
    with system.redis.client() as client:
        for key in client.scan_iter(match=f"*j:{run.id}:ok"):
            client.delete(key)
    with pytest.raises(JobNotFoundError, match=r"The result of item 0 of job .* has expired"):
        run.item(0)
