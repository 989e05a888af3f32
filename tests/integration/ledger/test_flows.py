"""Flows on a real Redis: each stage counts once, whoever dies on the way and whatever is heard of it."""

from __future__ import annotations

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Advance,
    Bounds,
    Commit,
    DispatchTerms,
    FlowState,
    InnerOf,
    JobState,
    Leave,
    Ledger,
    LimitChange,
    ReapTerms,
)
from penstock_plugins.errors import ConflictError, JobNotFoundError, OverloadedError
from tests.support.flow_values import begun, done, ended, entered, passed, pending, records, spec, step
from tests.support.ledger_values import BAD, GOOD, terms


def test_a_flow_goes_its_way(ledger: Ledger, client: redis.Redis) -> None:
    """Begin, two stages, the end: results stand under their indexes, and the run has ended."""
    begun(ledger, "r")
    passed(ledger, "r/0", "0", "1", traces=b"[0]", counters={"text.stats|in": 3, "text.stats|out": 3})
    ended(ledger, "r/0", "1")

    job = ledger.job("r")
    assert (job.state, job.done, job.failed, job.total) == (JobState.SUCCEEDED, 3, 0, 3)
    assert (job.pipeline, job.tool, job.accepted, job.parent) == (True, "both", 3, "")
    assert ledger.results("r", [0, 1, 2]) == [GOOD[1]] * 3
    assert ledger.steps("r") == {"text.stats|in": 3, "text.stats|out": 3}
    assert [c.indexes for c in ledger.completions("r")[1]] == [range(3), range(0)]
    assert client.zcard("penstock:open") == 0
    assert pending(ledger) == (0, 0)


def test_entering_hands_out_what_was_saved(ledger: Ledger) -> None:
    """Items as the stage before left them; traces where they are asked for."""
    begun(ledger, "r", base=0, count=2)
    first = entered(ledger, "r/0", "0")
    ledger.advance(done("r/0", "0", first, items=b"|one", traces=b"[1]"), step("4"))
    second = entered(ledger, "r/0", "4")
    ledger.advance(done("r/0", "4", second, items=b"|two", traces=b"[2]"), step("u0"))

    third = entered(ledger, "r/0", "u0", traces=True)

    assert (first.items, second.items, third.items) == (b"|items", b"|one", b"|two")
    assert (second.traces, third.traces) == ({}, {"0": b"[1]", "4": b"[2]"})
    assert ledger.traces("r/0") == third.traces
    assert (third.count, third.base, third.program, third.tenant, third.parent) == (2, 0, 0, "t", "")
    assert first.fence < second.fence < third.fence


def test_B4_a_begin_sent_twice_is_accepted_once(ledger: Ledger) -> None:
    """Also when its flow has ended already."""
    first, again = begun(ledger, "r"), begun(ledger, "r")
    ended(ledger, "r/0", "0")
    late = begun(ledger, "r")

    assert [first.accepted, again.accepted, late.accepted] == [True, False, False]
    assert ledger.job("r").accepted == 3
    assert pending(ledger) == (0, 0)


def test_items_of_a_run_come_in_many_flows(ledger: Ledger) -> None:
    """A run that was opened empty is sealed when its input ends; indexes have no holes."""
    assert ledger.open_run(spec("r"))
    assert not ledger.open_run(spec("r"))
    begun(ledger, "r", 2, total=None)
    begun(ledger, "r", 2, base=2, total=None)
    with pytest.raises(JobNotFoundError, match="does not continue"):
        begun(ledger, "r", 2, base=9, total=None)
    ended(ledger, "r/0", "0", 2)
    ended(ledger, "r/2", "0", 2)

    assert ledger.job("r").state is JobState.RUNNING
    assert ledger.seal("r") is JobState.SUCCEEDED
    assert ledger.results("r", range(4)) == [GOOD[1]] * 4


def test_E6_an_idempotency_key_finds_the_first_run(ledger: Ledger) -> None:
    """The same key with other inputs is a conflict."""
    begun(ledger, "r", 1, idempotency=("k", "digest"), single=True)

    assert begun(ledger, "s", 1, idempotency=("k", "digest"), single=True).job_id == "r"
    with pytest.raises(ConflictError):
        begun(ledger, "s", 1, idempotency=("k", "other"), single=True)


def test_B3_items_count_as_pending_until_their_flow_ends(ledger: Ledger, client: redis.Redis) -> None:
    """Beyond the bound a begin is refused, and nothing of it is kept."""
    narrow = Ledger(client, Keys(), bounds=Bounds(calls=4))
    begun(narrow, "r", 3)
    assert pending(ledger) == (3, 300)
    with pytest.raises(OverloadedError):
        begun(narrow, "s", 3)
    ended(ledger, "r/0", "0")

    assert pending(ledger) == (0, 0)
    assert client.keys("penstock:*s*:plan") == []
    assert begun(narrow, "s", 3).accepted


def test_B4_only_who_holds_a_stage_may_end_it(ledger: Ledger) -> None:
    """Who was paused beyond its lease comes back with an old fence, and nothing of it counts."""
    begun(ledger, "r")
    old = entered(ledger, "r/0", "0", "a:1:1#1")
    new = entered(ledger, "r/0", "0", "b:1:1#1", takeover="a:1:1#1")

    late = ledger.advance(done("r/0", "0", old, items=b"|old", counters={"x|in": 1}), step("1"))

    assert late.state is Advance.LOST
    assert ledger.renew(">r/0", fence=old.fence, lease_s=30) is Commit.LOST
    assert ledger.leave(InnerOf("r/0", "0", old.fence)) is Leave.LOST
    assert ledger.renew(">r/0", fence=new.fence, lease_s=30) is Commit.OK
    assert ledger.advance(done("r/0", "0", new), step("1")).state is Advance.OK
    assert ledger.steps("r") == {}
    assert entered(ledger, "r/0", "1").items == b"|after 0"


def test_a_lost_holder_is_counted_at_its_stage_only(ledger: Ledger) -> None:
    """And neither the same holder asking again, nor who let go by itself."""
    begun(ledger, "r")
    entered(ledger, "r/0", "0", "a:1:1#1")
    assert entered(ledger, "r/0", "0", "a:1:1#1").losses == 0
    second = entered(ledger, "r/0", "0", "b:1:1#1", takeover="a:1:1#1")
    assert second.losses == 1
    ledger.leave(InnerOf("r/0", "0", second.fence))
    third = entered(ledger, "r/0", "0", "c:1:1#1")
    assert third.losses == 1
    ledger.advance(done("r/0", "0", third), step("1"))

    assert entered(ledger, "r/0", "1", "d:1:1#1").losses == 0


def test_a_held_flow_is_refused_and_names_its_holder(ledger: Ledger) -> None:
    """So that whoever asks can tell whether the holder still lives; when the lease is over, it is free."""
    begun(ledger, "r")
    entered(ledger, "r/0", "0", "a:1:1#1", lease_s=0)
    free = ledger.enter("r/0", "0", terms("b:1:1#1"))
    held = ledger.enter("r/0", "0", terms("c:1:1#1"))

    assert (free.state, free.losses) == (FlowState.GRANTED, 1)
    assert (held.state, held.holder) == (FlowState.HELD, "b:1:1#1")


def test_B4_an_advance_sent_twice_counts_once(ledger: Ledger) -> None:
    """Its answer got lost on its way; also after somebody has entered the next stage."""
    begun(ledger, "r")
    first = done("r/0", "0", entered(ledger, "r/0", "0"), counters={"x|in": 3}, records=records([1]))
    answers = [ledger.advance(first, step("1")), ledger.advance(first, step("1"))]
    last = done("r/0", "1", entered(ledger, "r/0", "1"), records=records([0, 2]))
    answers += [ledger.advance(first, step("1")), ledger.advance(last, None)]

    assert {answer.state for answer in answers} == {Advance.OK}
    assert ledger.advance(last, None).state is Advance.LOST  # it is gone, and so are its results from here
    assert ledger.steps("r") == {"x|in": 3}
    assert ledger.job("r").done == 3


def test_L6_a_doorbell_may_come_again_early_late_or_from_nowhere(ledger: Ledger) -> None:
    """A claim of something done gives what its task returned, so that the chain goes on, once."""
    begun(ledger, "r")
    passed(ledger, "r/0", "0", "1", summary="3 of 3")

    again = ledger.enter("r/0", "0", terms())
    early = ledger.enter("r/0", "2", terms())
    unknown = ledger.enter("r/0", "zero", terms())
    entered(ledger, "r/0", "1")
    late = ledger.enter("r/0", "0", terms())

    assert (again.state, again.at, again.summary, again.goes_on) == (FlowState.DONE, "1", "3 of 3", True)
    assert (early.state, early.at) == (FlowState.EARLY, "1")
    assert unknown.state is FlowState.DONE
    assert not unknown.goes_on
    assert (late.state, late.goes_on) == (FlowState.DONE, False)
    for forged in ("r/7", "nothing", "x/0", "", "r/0/1.2", "r:0"):
        assert ledger.enter(forged, "0", terms()).state is FlowState.GONE


def test_items_end_on_the_way_and_the_others_go_on(ledger: Ledger) -> None:
    """What has ended is recorded at once, under its own index."""
    begun(ledger, "r", 2, total=None)
    begun(ledger, "r", 4, base=2, total=None)
    ledger.seal("r")
    ended(ledger, "r/0", "0", 2)
    passed(ledger, "r/2", "0", "1", records=records([0, 1, 3], failed=[1]), resume={1: b"|state"})
    claim = entered(ledger, "r/2", "1")

    assert claim.ended == {0, 1, 3}
    assert (ledger.job("r").done, ledger.job("r").failed) == (4, 1)
    assert ledger.results("r", [2, 3, 4, 5]) == [GOOD[1], BAD[1], None, GOOD[1]]
    with pytest.raises(redis.ResponseError, match="may not"):
        ledger.advance(done("r/2", "1", claim, records=records([0, 2])), None)
    with pytest.raises(redis.ResponseError, match="before all of its items"):
        ledger.advance(done("r/2", "1", claim), None)
    ledger.advance(done("r/2", "1", claim, records=records([2])), None)
    assert ledger.job("r").state is JobState.FAILED
    assert ledger.resumable("r").items == {3: b"|state"}
    streamed = [index for entry in ledger.completions("r")[1] for index in entry.indexes]
    assert sorted(streamed) == list(range(6))


def test_a_flow_never_goes_back(ledger: Ledger) -> None:
    """Jumps go forward, undoing comes after all; all else is a mistake of ours."""
    begun(ledger, "r")
    claim = entered(ledger, "r/0", "0")
    for stage in ("0", "end?", "-1"):
        with pytest.raises(redis.ResponseError, match="back to"):
            ledger.advance(done("r/0", "0", claim), step(stage))

    ledger.advance(done("r/0", "0", claim), step("u1"))
    with pytest.raises(redis.ResponseError, match="back to"):
        ledger.advance(done("r/0", "u1", entered(ledger, "r/0", "u1")), step("700"))


def test_B2_entering_says_whether_the_operator_limits_a_tool(ledger: Ledger) -> None:
    """Calls that a fused stage would make without asking any limit must go through inner jobs then."""
    begun(ledger, "r")
    free = entered(ledger, "r/0", "0", calls=["text.stats", "text.slug"])
    ledger.change_limit("tool:text.slug", LimitChange(concurrency=1))
    one = entered(ledger, "r/0", "0", calls=["text.stats", "text.slug"])
    other = entered(ledger, "r/0", "0", calls=["text.stats"])
    ledger.change_limit("tenant:t", LimitChange(rate_per_s=5))
    tenant = entered(ledger, "r/0", "0", calls=["text.stats"])

    assert [claim.limited for claim in (free, one, other, tenant)] == [False, True, False, True]


def test_two_runs_do_not_meet(ledger: Ledger, client: redis.Redis) -> None:
    """Their stages interleave; each has its own results, counters and end."""
    for run in ("r", "rr"):
        begun(ledger, run, 2)
    one, two = entered(ledger, "r/0", "0", "a:1:1#1"), entered(ledger, "rr/0", "0", "b:1:1#1")
    ledger.advance(done("r/0", "0", one, items=b"|mine", counters={"x|in": 2}), step("1"))
    ledger.advance(done("rr/0", "0", two, records=records([0, 1], failed=[0, 1])), None)

    assert entered(ledger, "r/0", "1").items == b"|mine"
    assert (ledger.job("rr").state, ledger.job("rr").failed) == (JobState.FAILED, 2)
    assert (ledger.steps("r"), ledger.steps("rr")) == ({"x|in": 2}, {})
    assert client.smembers("penstock:j:r:flows") == {b"r/0"}
    assert not ledger.job("r").state.final


def test_B4_what_nobody_rang_for_is_rung_for(ledger: Ledger, client: redis.Redis) -> None:
    """A lost message is found, less and less often; while its queue is deep, not at all."""
    begun(ledger, "r", first=step("0", queue="penstock.bulk"), ring_after_s=0)
    terms = ReapTerms(backoff_s=0.0)

    assert ledger.reap(terms, deep_queues=["penstock.bulk"]) == []
    (ring,) = ledger.reap(terms)

    assert (ring.flow, ring.queue, ring.tool, ring.calls, ring.stage) == (
        "r/0",
        "penstock.bulk",
        "text.stats",
        3,
        "0",
    )
    assert ledger.reap(ReapTerms(backoff_s=60)) != []
    assert ledger.reap(ReapTerms(backoff_s=60)) == []
    entered(ledger, "r/0", "0")
    client.zadd("penstock:open", {">r/0": 0})
    assert ledger.reap(terms) == []  # somebody holds it


def test_a_flow_that_is_given_back_is_due_at_once(ledger: Ledger) -> None:
    """A worker that stops leaves nothing waiting for a lease."""
    begun(ledger, "r")
    claim = entered(ledger, "r/0", "0")

    assert ledger.leave(InnerOf("r/0", "0", claim.fence)) is Leave.LEFT
    found = ledger.dispatch(DispatchTerms())
    assert [(ring.flow, ring.stage) for ring in found.batches] == [("r/0", "0")]
    assert ledger.dispatch(DispatchTerms()).batches == []
    assert ledger.advance(done("r/0", "0", claim), step("1")).state is Advance.LOST
