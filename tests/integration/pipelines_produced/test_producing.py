"""Pipelines from the producer's side, on real workers: submitted, mapped, watched, cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from penstock_broker_config.ledger import JobState
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import (
    ConfigurationError,
    ConflictError,
    InvalidPipelineError,
    LoopLimitError,
    ParamsError,
)
from penstock_plugins.pipelines.builder import Pipeline, tool
from penstock_scheduler import AsyncProducer, Producer
from tests.support.brokers import Broker
from tests.support.waiting import wait_until

WAIT_S = 60.0

#: A title's slug and its distance from the title.
TITLES = (
    Pipeline("titles")
    .filter("data.text.size() > 0", name="some")
    .pipe("text.slug", params={"text": "{{data.text}}"}, name="slug")
    .pipe("text.distance", params={"a": "{{input.text}}", "b": "{{steps.slug.data.slug}}"}, name="distance")
    .transform({"slug": "{{steps.slug.data.slug}}", "distance": "{{data.distance}}"})
)


def kinds(trace: list[dict[str, Any]] | None) -> list[str]:
    """What the entries of a trace are."""
    return [entry["type"] for entry in trace or []]


class TestSubmit:
    """One item."""

    def test_L2_an_item_gives_its_result_with_a_trace(self, system: Broker, producer: Producer) -> None:
        """Of every step; it is no tool's result, and says so."""
        job = producer.submit(TITLES, {"text": "To be"})

        result = job.result(WAIT_S)

        assert result.data == {"slug": "to-be", "distance": 2}
        assert (result.success, result.tool, result.filtered, result.index) == (True, "titles", False, None)
        assert kinds(result.trace) == ["filter", "tool", "tool", "transform"]
        wait_until(lambda: job.state is JobState.SUCCEEDED, WAIT_S, "the job has ended")

    def test_L2_a_filtered_item_has_succeeded_and_says_so(self, system: Broker, producer: Producer) -> None:
        """Its trace ends where it left."""
        result = producer.submit(TITLES, {"text": ""}).result(WAIT_S)

        assert (result.success, result.filtered) == (True, True)
        assert kinds(result.trace)[0] == "filter"

    def test_L2_a_failing_step_is_named(self, system: Broker, producer: Producer) -> None:
        """The tool's code, and which step it was."""
        result = producer.submit(Pipeline("p").pipe("lab.shaky", name="look"), {"n": 1}).result(WAIT_S)

        assert result.error is not None
        assert result.error.code is ErrorCode.NOT_FOUND
        assert "look" in result.error.message
        assert result.trace

    def test_E6_the_same_key_gives_the_first_run(self, system: Broker, producer: Producer) -> None:
        """And with another input it is a conflict."""
        first = producer.submit(TITLES, {"text": "a"}, idempotency_key="k")
        again = producer.submit(TITLES, {"text": "a"}, idempotency_key="k")

        assert first.id == again.id
        with pytest.raises(ConflictError):
            producer.submit(TITLES, {"text": "b"}, idempotency_key="k")
        assert again.result(WAIT_S).data == first.result(WAIT_S).data

    def test_I8_the_same_key_with_another_pipeline_is_a_conflict(
        self, system: Broker, producer: Producer
    ) -> None:
        """Its name and its input are not all that was asked for."""
        other = Pipeline("titles").pipe("text.slug", params={"text": "{{input.text}}"})
        first = producer.submit(TITLES, {"text": "a"}, idempotency_key="named alike")

        with pytest.raises(ConflictError):
            producer.submit(other, {"text": "a"}, idempotency_key="named alike")
        assert producer.submit(TITLES, {"text": "a"}, idempotency_key="named alike").id == first.id

    def test_J2_cancel_stops_a_running_step(self, system: Broker, producer: Producer) -> None:
        """The result says CANCELLED, and the worker goes on."""
        job = producer.submit(Pipeline("endless").pipe("lab.forever"), {})
        wait_until(lambda: job.state is JobState.RUNNING, WAIT_S, "it runs")

        assert job.cancel()

        error = job.result(WAIT_S).error
        assert error is not None
        assert error.code is ErrorCode.CANCELLED
        assert producer.submit(TITLES, {"text": "a"}).result(WAIT_S).success

    def test_L6_a_tree_says_where_its_item_is(self, system: Broker, producer: Producer) -> None:
        """While a step runs that never ends; nothing runs once it was cancelled."""
        endless = Pipeline("endless").pipe("lab.once-only").pipe("lab.forever").pipe("lab.echo")
        job = producer.submit(endless, {}, fuse=False)
        wait_until(lambda: job.tree().steps[0].entered == 1, WAIT_S, "the first step has ended")

        assert [step.state for step in job.tree().steps] == ["done", "running", "waiting"]
        assert job.cancel()
        job.result(WAIT_S)
        assert [step.state for step in job.tree().steps] == ["done", "waiting", "waiting"]

    def test_I1_a_deadline_ends_a_run(self, system: Broker, producer: Producer) -> None:
        """As TIMEOUT, wherever it is."""
        job = producer.submit(Pipeline("endless").pipe("lab.forever"), {}, deadline_s=1.0)

        error = job.result(WAIT_S).error

        assert error is not None
        assert error.code is ErrorCode.TIMEOUT


class TestMap:
    """Many items."""

    def test_L6_many_items_go_through_in_chunks(self, system: Broker, producer: Producer) -> None:
        """Each has its own result, in input order; one that is filtered does not stop the others."""
        inputs = [{"text": "" if n % 10 == 0 else f"Row {n}"} for n in range(200)]

        results = producer.map(TITLES, inputs).result(WAIT_S)

        assert [result.index for result in results] == list(range(200))
        assert [result.filtered for result in results] == [n % 10 == 0 for n in range(200)]
        assert results[7].data == {"slug": "row-7", "distance": 2}

    def test_an_item_that_fails_fails_alone(self, system: Broker, producer: Producer) -> None:
        """And the job is failed in the end."""
        picky = (
            Pipeline("picky").branch("data.n > 2", if_true=[tool("lab.shaky")]).transform({"n": "{{data.n}}"})
        )

        job = producer.map(picky, [{"n": n} for n in range(5)])

        assert [result.success for result in job.result(WAIT_S)] == [True] * 3 + [False] * 2
        assert job.state is JobState.FAILED

    def test_the_tree_says_what_each_step_has_done(self, system: Broker, producer: Producer) -> None:
        """In constant time, from the run's counters."""
        job = producer.map(TITLES, [{"text": text} for text in ("a", "", "c")])
        job.result(WAIT_S)

        tree = job.tree()

        assert [step.label for step in tree.steps] == ["some", "slug", "distance", "transform"]
        assert [(step.entered, step.filtered) for step in tree.steps] == [(3, 1), (2, 0), (2, 0), (2, 0)]
        assert tree.steps[1].tool == "text.slug"
        assert tree.state is JobState.SUCCEEDED

    def test_J1_a_map_whose_feeder_ended_is_fed_again(self, system: Broker, producer: Producer) -> None:
        """With the plan that it began with, from the first input that was not accepted; by no other."""
        gate = threading.Event()

        def inputs(*, whole: bool) -> Iterator[dict[str, str]]:
            for n in range(60):
                if n == 40 and not whole:
                    gate.wait(WAIT_S)
                yield {"text": f"Row {n}"}

        with Producer.connect(system.url, redis_url=system.redis.url) as first:
            job = first.map(TITLES, inputs(whole=False))
            wait_until(lambda: job.progress().accepted == 40, WAIT_S, "all that came was accepted")
            first.close(wait=False)
            gate.set()
        with pytest.raises(ConfigurationError, match="no map of this pipeline"):
            producer.map(TITLES.filter("true"), inputs(whole=True), job=job.id)
        again = producer.map(TITLES, inputs(whole=True), job=job.id)

        assert [result.index for result in again.result(WAIT_S)] == list(range(60))
        assert again.id == job.id

    async def test_I3_the_async_twin_does_the_same(self, system: Broker) -> None:
        """Submit, map, tree."""
        async with AsyncProducer.connect(system.url, redis_url=system.redis.url) as producer:
            one = await producer.submit(TITLES, {"text": "To be"})
            many = await producer.map(TITLES, ({"text": f"n{n}"} for n in range(20)))

            assert (await one.result(WAIT_S)).data == {"slug": "to-be", "distance": 2}
            assert len(await many.result(WAIT_S)) == 20
            assert (await many.tree()).steps[1].entered == 20


class TestRefusals:
    """What is refused before anything is submitted. No worker runs."""

    def test_all_problems_are_said_at_once_with_their_steps(self, store: Broker, producer: Producer) -> None:
        """An unknown tool, params of a wrong type, and a name that is not there."""
        wrong = (
            Pipeline("wrong")
            .pipe("text.nothing")
            .pipe("text.slug", params={"text": 5}, name="five")
            .filter("steps.nobody.success")
        )

        with pytest.raises(InvalidPipelineError) as caught:
            producer.submit(wrong, {})

        said = "\n".join(caught.value.problems)
        assert len(caught.value.problems) == 3
        assert "text.nothing" in said
        assert "five" in said
        assert "nobody" in said
        assert producer.jobs() == []

    def test_T4_an_input_that_does_not_fit_the_parameters_is_refused(
        self, store: Broker, producer: Producer
    ) -> None:
        """Like the params of any tool."""
        strict = Pipeline("strict", parameters={"type": "object", "required": ["text"]}).pipe("text.slug")

        with pytest.raises(ParamsError) as caught:
            producer.submit(strict, {})

        assert [violation["path"] for violation in caught.value.details["errors"]] == ["$"]

    def test_X2_a_chain_of_submissions_that_is_too_deep_is_refused(
        self, store: Broker, producer: Producer
    ) -> None:
        """As for calls."""
        with pytest.raises(LoopLimitError):
            producer.submit(TITLES, {"text": "a"}, request={"chain_depth": 9})
