"""Runs that failed or were stopped go on from their last good step, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import JobState, Ledger, LimitChange
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.errors import ConfigurationError, ConflictError
from penstock_plugins.pipelines.builder import Pipeline, tool
from penstock_scheduler import AsyncProducer, Producer
from penstock_scheduler.origin import Origin
from tests.support.brokers import Broker
from tests.support.bundles import publish_composite
from tests.support.lab import publish_lab
from tests.support.waiting import wait_until

WAIT_S = 60.0

#: Goes wrong behind a step that may not run twice, for every third item.
SHAKY = (
    Pipeline("shaky")
    .pipe("lab.once-only", name="first")
    .branch("data.n % 3 == 0", if_true=[tool("lab.shaky")])
    .transform({"n": "{{data.n}}", "first": "{{steps.first.success}}"})
)


def failed_run(producer: Producer, count: int = 7) -> str:
    """A run of which every third item has failed."""
    job = producer.map(SHAKY, [{"n": n} for n in range(count)])
    results = job.result(WAIT_S)
    assert [result.success for result in results] == [n % 3 != 0 for n in range(count)]
    wait_until(lambda: job.state.final, WAIT_S, "the run has ended")
    return job.id


def mend(system: Broker) -> None:
    """Publish a `lab` whose tool does not fail."""
    with system.redis.client() as client:
        publish_lab(client, "1.1.0", mended=True)


def test_L2_resume_goes_on_from_the_last_good_step(system: Broker, producer: Producer) -> None:
    """What was done is not done again; tools that have changed are refused until it is said."""
    failed = failed_run(producer)
    mend(system)

    with pytest.raises(ConflictError, match=r"lab\.shaky was 1\.0\.0") as caught:
        producer.resume(failed)
    resumed = producer.resume(failed, latest=True)
    results = resumed.result(WAIT_S)

    assert len(caught.value.details["changed"]) == 2
    assert [result.data for result in results] == [{"n": n, "first": True} for n in (0, 3, 6)]
    assert all((result.trace or [{}])[0]["step"] == "steps[1].if_true[0]" for result in results)
    assert producer.job(failed).state is JobState.FAILED
    assert len(list(producer.job(failed).results())) == 7


def test_resuming_twice_runs_once(system: Broker, producer: Producer) -> None:
    """Its id says what it goes on with; what fails again can be resumed again."""
    failed = failed_run(producer)

    first = producer.resume(failed)
    again = producer.resume(failed)
    assert [result.success for result in first.result(WAIT_S)] == [False] * 3
    wait_until(lambda: first.state.final, WAIT_S, "it has ended")
    mend(system)
    third = producer.resume(first.id, latest=True)

    assert (first.id, again.id, third.id) == (f"{failed}-r1", f"{failed}-r1", f"{failed}-r2")
    assert [result.success for result in third.result(WAIT_S)] == [True] * 3
    origins = [producer.job(job).origin() for job in (failed, first.id, third.id)]
    assert origins == [
        None,
        Origin(job=failed, indexes=(0, 3, 6)),
        Origin(job=first.id, indexes=(0, 1, 2)),
    ]


async def test_L2_pinned_goes_on_with_what_the_run_began_with(system: Broker, producer: Producer) -> None:
    """Whatever was published since; also for asyncio, and for a single item."""
    one = producer.submit(SHAKY, {"n": 3})
    assert not one.result(WAIT_S).success
    wait_until(lambda: one.state.final, WAIT_S, "the run has ended")
    mend(system)

    async with AsyncProducer.connect(system.url, redis_url=system.redis.url) as twin:
        resumed = await twin.resume(one.id, pinned=True)
        pinned, origin = await resumed.result(WAIT_S), await resumed.origin()

    assert origin == Origin(job=one.id, indexes=(0,))
    assert not pinned.success
    assert pinned.index is None


def test_a_composite_with_other_steps_goes_on_as_it_was_or_not_at_all(
    system: Broker, producer: Producer
) -> None:
    """Where an item is in it could not be found in the other steps."""
    with system.redis.client() as client:
        catalog = RedisCatalog(client, Keys())
        publish_composite(catalog)
        failed = producer.submit(Pipeline("a").pipe("docs.both"), {"no": "text"})
        assert not failed.result(WAIT_S).success
        wait_until(lambda: failed.state.final, WAIT_S, "the run has ended")
        publish_composite(catalog, version="1.1.0", tools=["text.slug", "text.stats"])

    with pytest.raises(ConflictError, match=r"docs\.both has other steps"):
        producer.resume(failed.id)
    with pytest.raises(ConflictError, match="say pinned to go on with what it began with, or submit it anew"):
        producer.resume(failed.id, latest=True)
    assert not producer.resume(failed.id, pinned=True).result(WAIT_S).success


def test_a_run_without_all_of_its_inputs_is_not_waited_for(system: Broker, producer: Producer) -> None:
    """Nobody else gives it the rest; it would run for ever."""
    rest = threading.Event()

    def inputs() -> Iterator[dict[str, int]]:
        yield {"n": 1}
        rest.wait(WAIT_S)

    job = producer.map(SHAKY, inputs())
    with pytest.raises(ConfigurationError, match=f"`penstock pipeline run FILE --resume {job.id}`"):
        producer.resume(job.id)
    rest.set()

    assert [result.success for result in job.result(WAIT_S)] == [True]


def test_what_was_cancelled_goes_on(system: Broker, producer: Producer) -> None:
    """From where it was stopped."""
    slow = Pipeline("slow").pipe("lab.once-only", name="first").pipe("lab.forever")
    job = producer.map(slow, [{"n": n} for n in range(3)])
    wait_until(lambda: sum(step.left for step in job.tree().steps) == 3, WAIT_S, "the first step is done")
    job.cancel()

    resumed = producer.resume(job.id)
    wait_until(lambda: resumed.state is JobState.RUNNING, WAIT_S, "it runs again")

    first, second = resumed.tree().steps
    assert (first.entered, resumed.progress().accepted) == (0, 3)
    assert second.label == "lab.forever"
    assert resumed.cancel()


@contextmanager
def paused(system: Broker, limit: str) -> Iterator[None]:
    """Nothing under a limit begins, for the length of a block."""
    with system.redis.client() as client:
        ledger = Ledger(client, Keys())
        ledger.change_limit(limit, LimitChange(paused_until_ms=(1 << 53) - 1))
        yield
        ledger.clear_limit(limit)


def test_L2_what_was_being_undone_is_undone_to_the_end_and_then_begins_anew(
    system: Broker, producer: Producer
) -> None:
    """A step that was done before the cancel is not done again before it was undone."""
    once = {"tool": "lab.once-only", "params": {"n": "{{input.n}}"}}
    undone = [
        {**once, "compensate": {"tool": "lab.echo", "params": {"n": "{{result.data.n}}"}}},
        {**once, "compensate": {"tool": "text.slug", "params": {"text": "b"}}},
        {"tool": "lab.shaky", "params": {}},
    ]
    pipeline = Pipeline.from_dict({"name": "undone", "steps": undone})
    with paused(system, "tool:lab.echo"):
        job = producer.submit(pipeline, {"n": 1})
        wait_until(lambda: job.tree().steps[1].undone == 1, WAIT_S, "the second step is undone")
        job.cancel()

    resumed = producer.resume(job.id)
    result = resumed.result(WAIT_S)
    wait_until(lambda: resumed.state.final, WAIT_S, "it has ended")
    anew = producer.resume(resumed.id).result(WAIT_S)

    assert result.error is not None
    assert (result.error.details or {})["undone"] == ["steps[1]", "steps[0]"]
    assert [(entry["type"], entry["step"]) for entry in result.trace or []] == [("compensate", "steps[0]")]
    assert [entry["step"] for entry in anew.trace or []][:3] == ["steps[0]", "steps[1]", "steps[2]"]


def test_L2_what_is_left_to_be_undone_is_undone_by_its_own_tool(system: Broker, producer: Producer) -> None:
    """Items know it by its number, which is another one when names that meant one release mean two."""
    steps = [
        {"tool": "lab@1.0.0.echo"},
        {"tool": "lab.echo", "compensate": {"tool": "text.slug", "params": {"text": "a b"}}},
        {"tool": "lab.shaky", "params": {}},
    ]
    pipeline = Pipeline.from_dict({"name": "two", "steps": steps})
    with paused(system, "tool:text.slug"):
        job = producer.submit(pipeline, {"n": 1})
        wait_until(lambda: job.tree().steps[2].failed == 1, WAIT_S, "it is being undone")
        job.cancel()
    mend(system)

    with pytest.raises(ConflictError, match="What undoes steps of the run"):
        producer.resume(job.id, latest=True)
    result = producer.resume(job.id, pinned=True).result(WAIT_S)

    assert [entry["tool"] for entry in result.trace or []] == ["text.slug"]


def test_L2_what_could_not_be_kept_is_not_gone_on_with(system: Broker, producer: Producer) -> None:
    """Its data is gone: it fails again, and the others go on."""
    # 200 times 5,000 characters, 70 times: more than an item may have in all.
    grow = {"map": "input.many", "steps": [{"transform": "{{input}}" * 200}]}
    steps = [
        {"branch": "input.large", "if_true": [grow]},
        {"branch": "true"},
        {"tool": "lab.shaky", "params": {}, "when": "!input.large"},
        {"transform": "went on"},
    ]
    large = Pipeline.from_dict({"name": "large", "steps": steps})
    job = producer.map(large, [{"large": True, "many": ["x" * 5000] * 70}, {"large": False}])
    failed = job.result(WAIT_S)
    wait_until(lambda: job.state.final, WAIT_S, "the run has ended")
    mend(system)

    resumed = producer.resume(job.id, latest=True).result(WAIT_S)

    assert [result.success for result in failed] == [False, False]
    assert failed[0].error is not None
    assert failed[0].error.message.startswith("The item cannot be kept")
    assert resumed[0].error == failed[0].error
    assert resumed[1].data == "went on"


@pytest.mark.parametrize("more", ["{{input.n}}", "{{data.n}}"], ids=["kept", "not kept"])
def test_L2_inputs_that_have_changed_are_refused(system: Broker, producer: Producer, more: str) -> None:
    """When they are given to be compared; also those that no step looks at later."""
    job = producer.map(SHAKY.transform({"n": more}), [{"n": 3, "m": 1}, {"n": 4, "m": 1}])
    job.result(WAIT_S)
    wait_until(lambda: job.state.final, WAIT_S, "the run has ended")

    for changed in ([{"n": 5, "m": 1}], [{"n": 3, "m": True}], [None], [{"n": 3}], []):
        with pytest.raises(ConflictError, match="Input 0 is not what the run was given"):
            producer.resume(job.id, inputs=changed)
    resumed = producer.resume(job.id, inputs=[{"m": 1, "n": 3}, {"n": 4, "m": 1}])
    assert not resumed.result(WAIT_S)[0].success
    wait_until(lambda: resumed.state.final, WAIT_S, "it has ended")
    with pytest.raises(ConflictError, match="Input 0 is not what the run was given"):
        producer.resume(resumed.id, inputs=[{"n": 5, "m": 1}])


def test_what_cannot_be_resumed_says_why(system: Broker, producer: Producer) -> None:
    """No run; nothing left; not ended."""
    call = producer.submit("lab.echo", {})
    fine = producer.submit(Pipeline("fine").pipe("lab.echo"), {})
    runs = producer.submit(Pipeline("endless").pipe("lab.forever"), {})
    assert call.result(WAIT_S).success
    assert fine.result(WAIT_S).success
    wait_until(lambda: call.state.final and fine.state.final, WAIT_S, "they have ended")

    for job, said in ((call, "no run of a pipeline"), (fine, "Nothing of job"), (runs, "has not ended")):
        with pytest.raises(ConfigurationError, match=said):
            producer.resume(job.id)
    runs.cancel()
