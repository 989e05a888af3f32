"""Feeding: every input is submitted once, in order, within the bounds, and the job is sealed at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import BatchHeader, Completion, JobRecord, JobState, Submitted
from penstock_broker_config.settings import Settings
from penstock_plugins.errors import JobFailedError
from penstock_scheduler.chunking import TARGET_S
from penstock_scheduler.feeder import DeadlinePassedError, Fed, FeedEnd, Feeder
from penstock_scheduler.hopper import Chunk
from penstock_scheduler.sending import CallSender
from penstock_scheduler.submission import Submission
from penstock_scheduler.toolbox import Toolbox
from tests.unit.scheduler.wires import ScriptedWire, job_record

HOUR_MS = 3_600_000


class Inputs:
    """A source whose input is there: gives what is wanted, up to the end."""

    def __init__(self, count: int, *, error: Exception | None = None) -> None:
        self._left = [b'{"n":%d}' % k for k in range(count)]
        self._error = error
        self.stopped = False
        #: The input gives nothing, and what happens meanwhile.
        self.silent = False
        self.while_silent: Callable[[], None] = lambda: None
        self.wanted: list[int] = []

    def take(self, calls: int, *, wait_s: float) -> Chunk | None:
        self.wanted.append(calls)
        if self.stopped:
            return Chunk()
        if self.silent:
            self.while_silent()
            return None
        texts, self._left = self._left[:calls], self._left[calls:]
        ended = not self._left
        return Chunk(
            texts=texts, size_bytes=sum(map(len, texts)), ended=ended, error=self._error if ended else None
        )


def submission(*, deadline_ms: int | None = None, expires_ms: int = 10**15) -> Submission:
    """A submission of job `j`."""
    header = BatchHeader(
        job="j",
        tool="text.stats",
        digest="d" * 64,
        tenant="default",
        queue="penstock.default",
        once=False,
        expires_ms=expires_ms,
    )
    return Submission(
        header=header,
        header_json=header.to_json(),
        signer=Signer(None),
        deadline_s=None,
        deadline_ms=deadline_ms,
    )


def feeder(*, resumed: JobRecord | None = None, deadline_ms: int | None = None, **settings: Any) -> Feeder:
    """A feeder of job `j`."""
    sender = CallSender(submission(deadline_ms=deadline_ms), ring_after_s=5.0)
    return Feeder(sender, Toolbox(), Settings(**settings), resumed=resumed)


def feed(wire: ScriptedWire, source: Inputs, **of: Any) -> Fed:
    """Feed to the end."""
    return wire.run(feeder(**of).feed(source))


def indexes(wire: ScriptedWire) -> list[int]:
    """Indexes of all calls that were accepted."""
    return [call.index for _, calls in wire.ledger.batches for call in calls]


def test_every_input_is_submitted_once_and_the_job_is_sealed() -> None:
    """Batches follow one another without a gap, each with its doorbell."""
    wire = ScriptedWire()

    fed = feed(wire, Inputs(100))

    assert fed == Fed(end=FeedEnd.SEALED, accepted=100)
    assert indexes(wire) == list(range(100))
    assert wire.rings == [f"j.{base}" for base, _ in wire.ledger.batches]
    assert wire.ledger.sealed == [""]


@pytest.mark.parametrize(
    ("deadline_ms", "hours", "headers"),
    [(None, 24, 11), (None, 0.25, 3), (10**15, 24, 1)],
    ids=["a day a chunk", "a quarter of an hour a chunk", "with a deadline"],
)
def test_J1_calls_expire_by_when_they_were_sent(
    deadline_ms: int | None, hours: float, headers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a map is fed: to within an hour, for which its calls share a header. A deadline stays."""
    wire, sent = ScriptedWire(job_record(done=11)), []
    accept = wire.ledger.submit

    def submit(header: BatchHeader, *arguments: Any, **terms: Any) -> Submitted:
        sent.append((wire.clock_ms, header.expires_ms))
        wire.clock_ms += int(hours * HOUR_MS)
        submitted: Submitted = accept(header, *arguments, **terms)
        return submitted

    monkeypatch.setattr(wire.ledger, "submit", submit)
    first_ms = deadline_ms or wire.clock_ms + 7 * 24 * HOUR_MS
    sender = CallSender(submission(deadline_ms=deadline_ms, expires_ms=first_ms), ring_after_s=5.0)

    wire.run(Feeder(sender, Toolbox(), Settings(max_in_flight=2)).feed(Inputs(11)))

    assert len(sent) == 11
    assert len({expires_ms for _, expires_ms in sent}) == headers
    for at_ms, expires_ms in sent:
        kept_ms = 7 * 24 * HOUR_MS
        assert expires_ms == deadline_ms or kept_ms - HOUR_MS < expires_ms - at_ms <= kept_ms


def test_an_empty_input_is_a_job_that_is_sealed() -> None:
    """With no calls."""
    wire = ScriptedWire()

    fed = feed(wire, Inputs(0))

    assert fed == Fed(end=FeedEnd.SEALED, accepted=0)
    assert (wire.ledger.batches, wire.ledger.sealed) == ([], [""])


def test_chunks_follow_the_measured_cost() -> None:
    """As soon as the ledger knows it."""
    wire = ScriptedWire()
    wire.ledger.cost_us = TARGET_S * 1_000_000 / 20
    source = Inputs(100)

    feed(wire, source)

    assert source.wanted == [8, 20, 20, 20, 20, 20]


def test_an_input_that_fails_seals_the_job_with_its_error_after_what_it_gave() -> None:
    """What was accepted is kept."""
    wire = ScriptedWire()
    error = ValueError("row 5")

    fed = feed(wire, Inputs(5, error=error))

    assert fed == Fed(end=FeedEnd.SEALED, accepted=5, error=error)
    assert indexes(wire) == [0, 1, 2, 3, 4]
    assert wire.ledger.sealed == ["ValueError: row 5"]


@pytest.mark.parametrize("max_in_flight", [1, 5, 24])
def test_it_waits_for_room_when_too_much_is_in_flight(max_in_flight: int) -> None:
    """And goes on when the ledger says that calls have ended."""
    wire = ScriptedWire()
    in_flight: list[int] = []

    def finish(job_id: str, *, cursor: str, wait_s: float, count: int) -> tuple[str, list[Completion]]:
        accepted = len(indexes(wire))
        in_flight.append(accepted - wire.ledger.record.done)
        wire.ledger.record = replace(wire.ledger.record, done=min(accepted, wire.ledger.record.done + 8))
        return cursor, []

    wire.completions = finish  # type: ignore[method-assign]

    feed(wire, Inputs(60), max_in_flight=max_in_flight)

    assert indexes(wire) == list(range(60))
    assert 0 < max(in_flight) <= max_in_flight


def test_a_job_that_was_cancelled_takes_no_more() -> None:
    """The next submit tells; the rest of the input is left alone."""
    wire = ScriptedWire()

    def cancel(base: int) -> None:
        if base == 8:
            wire.ledger.record = replace(wire.ledger.record, state=JobState.CANCELLED)
            wire.ledger.accepts = False

    wire.ledger.before_submit = cancel

    fed = feed(wire, Inputs(100))

    assert fed == Fed(end=FeedEnd.CLOSED, accepted=8)
    assert wire.ledger.sealed == []
    assert wire.rings == ["j.0"]


def test_a_job_that_is_cancelled_while_it_waits_for_room_ends_the_feeder() -> None:
    """It would wait for ever: nothing of a cancelled job ends any more."""
    wire = ScriptedWire()

    def cancel(job_id: str, *, cursor: str, wait_s: float, count: int) -> tuple[str, list[Completion]]:
        wire.ledger.record = replace(wire.ledger.record, state=JobState.CANCELLED)
        return cursor, []

    wire.completions = cancel  # type: ignore[method-assign]

    assert feed(wire, Inputs(100), max_in_flight=10).end is FeedEnd.CLOSED


def test_a_silent_input_does_not_outlive_its_job() -> None:
    """The job is looked after now and then."""
    wire, source = ScriptedWire(), Inputs(100)
    source.silent = True

    def cancel() -> None:
        wire.ledger.record = replace(wire.ledger.record, state=JobState.CANCELLED)

    source.while_silent = cancel

    assert feed(wire, source) == Fed(end=FeedEnd.CLOSED, accepted=0)


def test_a_silent_input_does_not_outlive_its_deadline() -> None:
    """It may be silent for ever."""
    wire, source = ScriptedWire(), Inputs(100)
    source.silent = True

    fed = feed(wire, source, deadline_ms=wire.clock_ms - 1)

    assert isinstance(fed.error, DeadlinePassedError)


def test_a_producer_that_closes_leaves_the_job_open() -> None:
    """It can be resumed."""
    wire = ScriptedWire()
    source = Inputs(100)

    def close(base: int) -> None:
        source.stopped = base == 24

    wire.ledger.before_submit = close

    fed = feed(wire, source)

    assert fed.end is FeedEnd.STOPPED
    assert wire.ledger.sealed == []


def test_a_resumed_job_goes_on_where_it_ended() -> None:
    """What it has in flight from before counts."""
    record = job_record(accepted=30, done=10)
    wire = ScriptedWire(record)

    fed = feed(wire, Inputs(5), resumed=record)

    assert fed == Fed(end=FeedEnd.SEALED, accepted=35)
    assert indexes(wire) == [30, 31, 32, 33, 34]


def test_an_answer_that_got_lost_is_no_second_feeder() -> None:
    """The ledger had accepted this batch: it is counted once."""
    wire = ScriptedWire()

    def lost_answer(base: int) -> None:
        wire.ledger.accepts = base != 8
        wire.ledger.record = replace(wire.ledger.record, accepted=24)

    wire.ledger.before_submit = lost_answer

    assert feed(wire, Inputs(30)).accepted == 30


def test_a_second_feeder_of_the_same_job_is_noticed() -> None:
    """Going on would leave calls out."""
    wire = ScriptedWire()

    def somebody_else(base: int) -> None:
        wire.ledger.accepts = base != 8
        wire.ledger.record = replace(wire.ledger.record, accepted=11)

    wire.ledger.before_submit = somebody_else

    with pytest.raises(JobFailedError, match="another process"):
        feed(wire, Inputs(30))


def test_a_deadline_that_passes_ends_the_input() -> None:
    """An endless input does not go on for ever."""
    wire = ScriptedWire()

    def time_passes(base: int) -> None:
        wire.clock_ms += 1000

    wire.ledger.before_submit = time_passes

    fed = feed(wire, Inputs(1000), deadline_ms=wire.clock_ms + 1500)

    assert fed.end is FeedEnd.SEALED
    assert fed.accepted == 24
    assert "DeadlinePassedError" in wire.ledger.sealed[0]


def test_an_input_that_had_ended_before_the_deadline_is_sealed_well() -> None:
    """Nothing of it is missing."""
    wire = ScriptedWire()
    source: Any = Inputs(0)

    fed = feed(wire, source, deadline_ms=wire.clock_ms - 1)

    assert fed.error is None
    assert wire.ledger.sealed == [""]
