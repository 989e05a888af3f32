"""Fan-outs: members begin all or none, each counts once, and their parent goes on after the last."""

from __future__ import annotations

import pytest
import redis

from penstock_broker_config.ledger import (
    END,
    Advance,
    FlowState,
    InnerOf,
    JobState,
    Ledger,
    ReapTerms,
    member_flow,
)
from tests.support.flow_values import (
    begun,
    done,
    ended,
    entered,
    inner,
    job_or_none,
    members,
    passed,
    pending,
    records,
    step,
)
from tests.support.ledger_values import terms


def fanned(ledger: Ledger, flow: str = "r/0", stage: str = "0", join: str = "1", count: int = 3) -> None:
    """A flow makes that many members at a stage."""
    claim = entered(ledger, flow, stage)
    assert ledger.plant(InnerOf(flow, stage, claim.fence), members(count)) is Advance.OK
    answer = ledger.fan(done(flow, stage, claim, summary="fanned"), step(join, "both:gather"), members=count)
    assert answer.state is Advance.OK


def gave_back(ledger: Ledger, member: str, stage: str = "0", what: bytes = b"|m") -> tuple[bool, str, str]:
    """A member ends: whether it was the last, its parent and where that is."""
    answer = ledger.advance(done(member, stage, entered(ledger, member, stage), items=what), None)
    assert answer.state is Advance.OK
    return answer.last, answer.parent, answer.parent_step.stage if answer.parent_step else ""


def test_L2_a_fan_out_and_what_gathers_it(ledger: Ledger, client: redis.Redis) -> None:
    """The parent waits for all members, reads what they gave back, and then they are gone."""
    begun(ledger, "r", 1)
    fanned(ledger)
    waiting = ledger.enter("r/0", "1", terms())
    answers = [gave_back(ledger, f"r/0/0.{k}", what=b"|%d" % k) for k in (2, 0, 1)]

    assert (waiting.state, waiting.waiting) == (FlowState.EARLY, 3)
    assert [last for last, _, _ in answers] == [False, False, True]
    assert answers[2] == (True, "r/0", "1")
    assert ledger.members("r/0", "0", 3) == [b"|0", b"|1", b"|2"]
    ended(ledger, "r/0", "1", 1)
    assert ledger.job("r").state is JobState.SUCCEEDED
    assert client.keys("penstock:f:*") == []
    assert client.zcard("penstock:open") == 0
    assert pending(ledger) == (0, 0)


def test_B4_a_member_that_ends_twice_counts_once(ledger: Ledger) -> None:
    """The same answer again, also that it was the last; and nothing of who comes late."""
    begun(ledger, "r", 1)
    fanned(ledger, count=2)
    old = entered(ledger, "r/0/0.0", "0", "a:1:1#1")
    new = entered(ledger, "r/0/0.0", "0", "b:1:1#1", takeover="a:1:1#1")
    first = ledger.advance(done("r/0/0.0", "0", new), None)
    again = ledger.advance(done("r/0/0.0", "0", new), None)
    late = ledger.advance(done("r/0/0.0", "0", old), None)
    assert (first, late.state) == (again, Advance.LOST)
    assert not first.last
    assert ledger.enter("r/0", "1", terms()).waiting == 1
    claim = entered(ledger, "r/0/0.1", "0")
    last = [ledger.advance(done("r/0/0.1", "0", claim), None) for _ in range(2)]
    heard_again = ledger.enter("r/0/0.1", "0", terms())
    entered(ledger, "r/0", "1")

    assert [answer.last for answer in last] == [True, True]
    assert (heard_again.state, heard_again.at, heard_again.last) == (FlowState.DONE, END, True)
    assert not ledger.enter("r/0/0.1", "0", terms()).last
    assert not ledger.advance(done("r/0/0.1", "0", claim), None).last


def test_B4_members_begin_with_their_parent_s_advance_and_not_before(ledger: Ledger) -> None:
    """Planting may be repeated, by another worker too; what was planted for nothing goes with the run."""
    begun(ledger, "r", 1)
    old = entered(ledger, "r/0", "0", "a:1:1#1")
    ledger.plant(InnerOf("r/0", "0", old.fence), members(2))
    assert ledger.enter("r/0/0.0", "0", terms()).state is FlowState.EARLY
    new = entered(ledger, "r/0", "0", "b:1:1#1", takeover="a:1:1#1")
    assert ledger.plant(InnerOf("r/0", "0", old.fence), members(2)) is Advance.LOST
    assert ledger.plant(InnerOf("r/0", "0", new.fence), members(2)) is Advance.OK
    with pytest.raises(ValueError, match="not planted"):
        ledger.fan(done("r/0", "0", new), step("1"), members=3)
    assert ledger.fan(done("r/0", "0", old), step("1"), members=2).state is Advance.LOST
    assert ledger.fan(done("r/0", "0", new), step("1"), members=2).state is Advance.OK

    assert ledger.fan(done("r/0", "0", new), step("1"), members=2).state is Advance.OK
    assert entered(ledger, "r/0/0.0", "0").items == b"|m0"
    assert ledger.plant(InnerOf("r/0", "0", new.fence), members(2)) is Advance.LOST


def test_what_was_planted_beyond_the_fan_never_begins(ledger: Ledger, client: redis.Redis) -> None:
    """Nor does it stay."""
    begun(ledger, "r", 1)
    claim = entered(ledger, "r/0", "0")
    ledger.plant(InnerOf("r/0", "0", claim.fence), members(4))
    ledger.fan(done("r/0", "0", claim), step("1"), members=2)

    assert ledger.enter("r/0/0.3", "0", terms()).state is FlowState.EARLY
    for k in range(2):
        gave_back(ledger, f"r/0/0.{k}")
    ended(ledger, "r/0", "1", 1)
    assert client.keys("penstock:f:*") == []


def test_a_fan_out_of_nobody_goes_on_at_once(ledger: Ledger) -> None:
    """A list that is empty."""
    begun(ledger, "r", 1)
    fanned(ledger, count=0)

    assert ledger.members("r/0", "0", 0) == []
    assert entered(ledger, "r/0", "1").count == 1


def test_fan_outs_nest(ledger: Ledger, client: redis.Redis) -> None:
    """A member's members are its own; their ids say so."""
    begun(ledger, "r", 1)
    fanned(ledger, count=2)
    fanned(ledger, flow="r/0/0.1", count=2)
    inner_members = [member_flow("r/0/0.1", "0", k) for k in range(2)]

    assert inner_members == ["r/0/0.1/0.0", "r/0/0.1/0.1"]
    assert [gave_back(ledger, flow)[0] for flow in inner_members] == [False, True]
    assert gave_back(ledger, "r/0/0.1", "1") == (False, "r/0", "1")
    assert gave_back(ledger, "r/0/0.0") == (True, "r/0", "1")
    passed(ledger, "r/0", "1", "2")
    assert client.keys("penstock:f:*") == [b"penstock:f:r/0"]
    assert client.smembers("penstock:j:r:flows") == {b"r/0"}


def test_L6_lost_messages_of_members_are_found(ledger: Ledger) -> None:
    """Each member is rung for; the parent when the last has ended and nobody sent the step that gathers."""
    begun(ledger, "r", 1)
    fanned(ledger, count=2)
    ledger._redis.zadd("penstock:open", {f">r/0/0.{k}": 0 for k in range(2)})
    rung = {(ring.flow, ring.stage) for ring in ledger.reap(ReapTerms(backoff_s=0))}
    assert rung == {("r/0/0.0", "0"), ("r/0/0.1", "0")}
    for k in range(2):
        gave_back(ledger, f"r/0/0.{k}")
    ledger._redis.zadd("penstock:open", {">r/0": 0})

    (ring,) = ledger.reap(ReapTerms(backoff_s=0))
    assert (ring.flow, ring.stage, ring.tool) == ("r/0", "1", "both:gather")


def test_L6_a_doorbell_of_the_fan_out_itself_comes_again(ledger: Ledger) -> None:
    """It says how many members there are and how many are left, so that they can be sent again."""
    begun(ledger, "r", 1)
    fanned(ledger, count=3)
    gave_back(ledger, "r/0/0.1")

    again = ledger.enter("r/0", "0", terms())

    assert (again.state, again.at, again.members, again.waiting) == (FlowState.DONE, "1", 3, 2)
    assert (again.goes_on, again.summary) == (True, "fanned")


def test_members_have_inner_jobs_of_their_own(ledger: Ledger) -> None:
    """Named after the member."""
    begun(ledger, "r", 1)
    fanned(ledger, count=1)
    claim = entered(ledger, "r/0/0.0", "0")
    job = inner(ledger, "r/0/0.0", "0", claim, 1)
    assert job == "r/0/0.0:0"
    ledger.advance(done("r/0/0.0", "0", claim), None)

    assert job_or_none(ledger, job) is None


def test_members_record_nothing_themselves(ledger: Ledger) -> None:
    """An item ends with its top flow."""
    begun(ledger, "r", 1)
    fanned(ledger, count=1)
    claim = entered(ledger, "r/0/0.0", "0")

    with pytest.raises(redis.ResponseError, match="may not"):
        ledger.advance(done("r/0/0.0", "0", claim, records=records([0])), None)


def test_L6_a_fan_out_of_ten_thousand(ledger: Ledger, client: redis.Redis) -> None:
    """No script takes long for it, and nothing of it stays."""
    begun(ledger, "r", 1)
    fanned(ledger, count=10_000)
    client.config_resetstat()
    for k in (0, 9_999):
        gave_back(ledger, f"r/0/0.{k}")
    assert ledger.enter("r/0", "1", terms()).waiting == 9_998
    assert ledger.members("r/0", "0", 10_000)[9_999] == b"|m"
    ledger.cancel("r")
    ledger.reap(ReapTerms())

    assert client.keys("penstock:f:*") == []
    assert client.zcard("penstock:open") == 0
