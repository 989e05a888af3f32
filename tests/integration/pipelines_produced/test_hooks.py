"""Who looks in is told of each submission before it is sent (W-8)."""

from __future__ import annotations

from contextlib import suppress

import pytest

from penstock_broker_config.ledger import JobRecord
from penstock_broker_config.settings import Settings, load_settings
from penstock_plugins.errors import JobNotFoundError, ParamsError
from penstock_plugins.pipelines.builder import Pipeline
from penstock_plugins.pipelines.hooks import NoHooks, SubmissionNote
from penstock_scheduler import AsyncProducer, Producer
from tests.support.brokers import Broker

LINE = Pipeline("line").pipe("text.stats")


class Looking(NoHooks):
    """A test double: notes submissions, and whether their job was there already."""

    def __init__(self, settings: Settings) -> None:
        self.notes: list[SubmissionNote] = []
        self.found: list[JobRecord] = []
        self._other = Producer(settings)

    def before_submission(self, note: SubmissionNote) -> None:
        """See `Hooks`."""
        self.notes.append(note)
        with suppress(JobNotFoundError):
            self.found.append(self._other.job(note.job).record())


@pytest.fixture
def settings(store: Broker) -> Settings:
    """A producer's, on the test's Redis. Nothing needs to run for a submission."""
    return load_settings(broker_url=store.url, redis_url=store.redis.url, tenant="t")


def test_W8_hooks_are_told_of_a_submission_before_it_is_sent(settings: Settings) -> None:
    """Once for a call, a map of any length and a run; not of what is refused."""
    looking = Looking(settings)

    with Producer(settings, hooks=looking) as producer:
        call = producer.submit("text.stats", {"text": "a"})
        calls = producer.map("text.slug", [{"text": "a"}, {"text": "b"}])
        run = producer.submit(LINE, {"text": "a"})
        runs = producer.map(LINE, [{"text": "a"}, {"text": "b"}])
        assert [job.submitted(wait_s=30) for job in (calls, runs)] == [2, 2]
        with pytest.raises(ParamsError):
            producer.submit("text.stats", {})

    told = [(note.job, note.tool, note.tenant, note.pipeline) for note in looking.notes]
    assert told == [
        (call.id, "text.stats", "t", False),
        (calls.id, "text.slug", "t", False),
        (run.id, "line", "t", True),
        (runs.id, "line", "t", True),
    ]
    assert looking.found == []


async def test_W8_hooks_of_an_async_producer(settings: Settings) -> None:
    """The same."""
    looking = Looking(settings)

    async with AsyncProducer(settings, hooks=looking) as producer:
        call = await producer.submit("text.stats", {"text": "a"})
        run = await producer.submit(LINE, {"text": "a"})

    assert [(note.job, note.pipeline) for note in looking.notes] == [(call.id, False), (run.id, True)]
    assert looking.found == []


class Failing(NoHooks):
    """A test double that fails."""

    def before_submission(self, note: SubmissionNote) -> None:
        """See `Hooks`."""
        raise RuntimeError(note.tool)


def test_W9_a_failing_hook_stops_no_submission(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """It is passed over with a warning."""
    with Producer(settings, hooks=Failing()) as producer:
        call = producer.submit("text.stats", {"text": "a"})
        run = producer.submit(LINE, {"text": "a"})
        assert [producer.job(job.id).record().accepted for job in (call, run)] == [1, 1]

    assert caplog.text.count("A hook is passed over") == 2
