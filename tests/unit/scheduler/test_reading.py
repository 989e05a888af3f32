"""Results are read once each, in completion order, and what never ran has one as well."""

from __future__ import annotations

import pytest

from penstock_broker_config.ledger import Completion, JobState
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import JobFailedError, JobNotFoundError, WaitTimeoutError
from penstock_plugins.result import ToolFailure, ToolResult, to_record
from penstock_scheduler.countdown import Countdown
from penstock_scheduler.reading import ResultReader, all_results
from penstock_scheduler.ticket import Ticket
from tests.unit.scheduler.wires import ScriptedWire, job_record

MANY = Ticket(job_id="j", tool="text.stats", digest="d", single=False)
ONE = Ticket(job_id="j", tool="text.stats", digest="d", single=True)
END = Completion(range(0), "succeeded")
TRAPPED = to_record(content=None, error=ToolFailure(code=ErrorCode.TRAP, message="x"), metadata={})


def recorded(count: int) -> dict[int, bytes]:
    """Results that name their index."""
    return {k: to_record(content=str(k).encode(), error=None, metadata={}) for k in range(count)}


def read(wire: ScriptedWire, ticket: Ticket = MANY) -> list[ToolResult]:
    """Everything a reader gives."""
    reader, countdown = ResultReader(ticket), Countdown(0)
    results: list[ToolResult] = []
    while page := wire.run(reader.page(countdown)):
        results.extend(page)
    return results


def test_results_come_in_completion_order() -> None:
    """As the stream tells of them, with index and call id."""
    wire = ScriptedWire(stream=[Completion(range(2, 4), None), Completion(range(2), None), END])
    wire.ledger.recorded = recorded(4)

    results = read(wire)

    assert [result.index for result in results] == [2, 3, 0, 1]
    assert [result.data for result in results] == [2, 3, 0, 1]
    assert results[0].call_id == "j.2"
    assert results[0].tool == "text.stats"


def test_all_results_are_in_input_order() -> None:
    """What `result` of a map gives."""
    wire = ScriptedWire(stream=[[Completion(range(2, 4), None), Completion(range(2), None), END]])
    wire.ledger.recorded = recorded(4) | {1: TRAPPED}

    results = wire.run(all_results(ResultReader(MANY), MANY, Countdown(0)))

    assert [result.index for result in results] == [0, 1, 2, 3]
    assert [result.success for result in results] == [True, False, True, True]


def test_a_single_call_is_there_when_it_has_ended() -> None:
    """Without waiting for the end of its job to be told; it has no index."""
    wire = ScriptedWire(stream=[Completion(range(1), None)])
    wire.ledger.recorded = recorded(1)

    results = wire.run(all_results(ResultReader(ONE), ONE, Countdown(0)))

    assert [(result.index, result.data) for result in results] == [(None, 0)]


def test_calls_of_a_cancelled_job_that_had_not_ended_are_cancelled() -> None:
    """Each index has a result, and what was recorded stays."""
    wire = ScriptedWire(
        job_record(state=JobState.CANCELLED, accepted=6),
        stream=[[Completion(range(1, 3), None), Completion(range(0), "cancelled")]],
    )
    wire.ledger.recorded = recorded(6)

    results = read(wire)

    assert [result.index for result in results] == [1, 2, 0, 3, 4, 5]
    assert [result.success for result in results] == [True, True, False, False, False, False]
    assert {result.error.code for result in results if result.error} == {ErrorCode.CANCELLED}


def test_calls_that_ran_out_of_time_are_timeouts() -> None:
    """The stream closes them batch by batch."""
    wire = ScriptedWire(
        job_record(state=JobState.EXPIRED, accepted=4, expired=3),
        stream=[
            [Completion(range(1), None), Completion(range(1, 4), "expired"), Completion(range(0), "expired")]
        ],
    )
    wire.ledger.recorded = recorded(1)

    results = read(wire)

    assert [result.error.code if result.error else None for result in results] == [
        None,
        *[ErrorCode.TIMEOUT] * 3,
    ]
    assert all(result.error.recoverable for result in results if result.error)


def test_an_input_that_failed_is_told_after_what_it_gave() -> None:
    """Good results stay readable."""
    wire = ScriptedWire(
        job_record(state=JobState.FAILED, accepted=2, total=2, done=2, error="ValueError: row 3"),
        stream=[[Completion(range(2), None), Completion(range(0), "failed")]],
    )
    wire.ledger.recorded = recorded(2)
    reader = ResultReader(MANY)

    page = wire.run(reader.page(Countdown(0)))
    assert [result.index for result in page] == [0, 1]

    with pytest.raises(JobFailedError, match="after 2 calls: ValueError: row 3"):
        wire.run(reader.page(Countdown(0)))


def test_a_wait_that_was_too_short_says_so() -> None:
    """And the next reader begins anew."""
    wire = ScriptedWire(stream=[Completion(range(1), None)])
    wire.ledger.recorded = recorded(1)
    reader = ResultReader(MANY)

    assert len(wire.run(reader.page(Countdown(0)))) == 1
    with pytest.raises(WaitTimeoutError, match="goes on"):
        wire.run(reader.page(Countdown(0)))


def test_results_that_have_expired_are_told_after_those_that_are_left() -> None:
    """Failures are kept for longer than successes."""
    wire = ScriptedWire(
        job_record(state=JobState.FAILED, accepted=3, total=3), stream=[[Completion(range(3), None), END]]
    )
    wire.ledger.recorded = {1: TRAPPED}
    reader = ResultReader(MANY)

    page = wire.run(reader.page(Countdown(0)))
    assert [result.index for result in page] == [1]

    with pytest.raises(JobNotFoundError, match="2 results"):
        wire.run(reader.page(Countdown(0)))


def test_waiting_in_vain_is_noticed() -> None:
    """The feeder of this process died: nobody will ever seal the job."""

    def dead() -> None:
        raise JobFailedError("the feeder died")

    wire = ScriptedWire()

    with pytest.raises(JobFailedError, match="the feeder died"):
        wire.run(ResultReader(MANY, watch=dead).page(Countdown(None)))


def test_large_results_are_read_a_few_at_a_time() -> None:
    """A page of the largest results does not fill the reader's memory."""
    count, big = 1000, b'"' + b"x" * 100_000 + b'"'
    wire = ScriptedWire(stream=[[Completion(range(count), None), END]])
    wire.ledger.recorded = dict.fromkeys(range(count), to_record(content=big, error=None, metadata={}))
    reader, pages = ResultReader(MANY), []

    while page := wire.run(reader.page(Countdown(0))):
        pages.append(len(page))

    assert sum(pages) == count
    assert max(pages) <= 64
    assert max(pages[4:]) <= 32


def test_small_results_are_read_many_at_a_time() -> None:
    """Stretches of one call each go into one reading."""
    count = 5000
    wire = ScriptedWire(stream=[[*(Completion(range(k, k + 1), None) for k in range(count)), END]])
    wire.ledger.recorded = recorded(count)
    reader, pages = ResultReader(MANY), []

    while page := wire.run(reader.page(Countdown(0))):
        pages.append(len(page))

    assert sum(pages) == count
    assert len(pages) < 15
