"""What the operator changes of a limit is felt by all that has not begun; and keys that callers make up."""

from __future__ import annotations

import math

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Buffer,
    BufferedCall,
    CallEntry,
    ClaimState,
    Commit,
    DeclaredLimit,
    JobState,
    LimitChange,
    ReapTerms,
)
from tests.integration.ledger_model.virtual_time import VirtualLedger
from tests.integration.ledger_model.waiting import claim, leave, wait
from tests.support.ledger_values import GOOD, calls, header

EIGHT = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=8),))
ONE = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=1),))


def four_formed(ledger: VirtualLedger, buffer: Buffer = EIGHT) -> list[str]:
    """Batches that left, and that no worker has come for."""
    for number in range(4):
        wait(ledger, f"j{number}", buffer)
    batches = leave(ledger)
    assert len(batches) == 4
    return batches


def states(ledger: VirtualLedger, batches: list[str]) -> list[ClaimState]:
    """What comes of claiming each of these, by workers of their own."""
    return [claim(ledger, batch, f"w{number}:1:1#1").state for number, batch in enumerate(batches)]


GRANTED, PARKED = ClaimState.GRANTED, ClaimState.PARKED


def test_B2_a_pause_is_felt_by_batches_that_nobody_has_begun(ledger: VirtualLedger) -> None:
    """Nothing starts; when it ends, all do."""
    batches = four_formed(ledger)
    ledger.change_limit("api", LimitChange(paused_until_ms=ledger.now_ms + 60_000))

    paused = states(ledger, batches)
    early = leave(ledger)
    ledger.let_pass(60_001)
    late = leave(ledger)

    assert paused == [PARKED] * 4
    assert (early, sorted(late)) == ([], sorted(batches))
    assert states(ledger, late) == [GRANTED] * 4


def test_B2_a_lowered_limit_is_felt_by_batches_that_nobody_has_begun(ledger: VirtualLedger) -> None:
    """What has begun goes on; of the others none begins until enough have ended."""
    first, *others = four_formed(ledger)
    begun = claim(ledger, first)
    ledger.change_limit("api", LimitChange(concurrency=1))

    waiting = states(ledger, others)
    renewed = ledger.renew(first, fence=begun.fence, lease_s=30)
    blocked = leave(ledger)
    ledger.commit(first, [GOOD], fence=begun.fence, position=0, lease_s=30)
    (then,) = leave(ledger)

    assert (waiting, renewed, blocked) == ([PARKED] * 3, Commit.OK, [])
    assert then in others
    assert claim(ledger, then).state is GRANTED


def test_B2_a_limit_of_a_tool_is_felt_by_batches_that_were_formed(ledger: VirtualLedger) -> None:
    """Whether they have limits of their own or none."""
    batches = four_formed(ledger, Buffer(key="k", max_size=1))
    for number in range(4, 6):
        wait(ledger, f"j{number}", EIGHT)
    batches += leave(ledger)
    ledger.change_limit("tool:text.stats", LimitChange(concurrency=2))

    came_of_it = states(ledger, batches)

    assert came_of_it == [GRANTED, GRANTED, PARKED, PARKED, PARKED, PARKED]


def test_B2_E4_who_comes_back_late_finds_that_another_may_have_it(ledger: VirtualLedger) -> None:
    """A batch lost its lease and was parked: its old holder must not go on beside the next one."""
    wait(ledger, "slow", ONE)
    (slow,) = leave(ledger)
    stalled = claim(ledger, slow, "stalled:1:1#1", lease_s=1)
    ledger.let_pass(2000)
    wait(ledger, "next", ONE)
    (then,) = leave(ledger)
    running = claim(ledger, then, "other:1:1#1")
    parked = claim(ledger, slow, "third:1:1#1").state
    ledger.commit(then, [GOOD], fence=running.fence, position=0, lease_s=30)

    renewed = ledger.renew(slow, fence=stalled.fence, lease_s=30)
    taken = claim(ledger, slow, "third:1:1#2").state

    assert (parked, renewed, taken) == (PARKED, Commit.LOST, GRANTED)


@pytest.mark.parametrize("count", [50, 250])
def test_B2_many_that_wait_for_one_key_keep_no_dispatcher_busy(ledger: VirtualLedger, count: int) -> None:
    """However many batch keys have a limit in common: while it admits nobody, nobody looks."""
    for number in range(count):
        limits = (DeclaredLimit(key="api", concurrency=1),)
        wait(ledger, f"j{number}", Buffer(key=f"k{number}", max_size=1, limits=limits))

    done = 0
    while batches := leave(ledger, looks=3):
        (batch,) = batches
        held = claim(ledger, batch, f"w:1:1#{done}")
        assert leave(ledger, looks=3) == []
        ledger.commit(batch, [GOOD], fence=held.fence, position=0, lease_s=30)
        done += 1

    assert done == count


@pytest.mark.parametrize("hostile", ["api:held", "api:wait", "api\napi", "\n", ":", "held:api"])
@pytest.mark.parametrize("first", [True, False])
def test_B2_no_key_meets_the_records_of_another(ledger: VirtualLedger, hostile: str, *, first: bool) -> None:
    """Keys are made of callers' params: whatever they are, other keys' calls run, and so do their own."""
    shape = Buffer(key="h", max_size=1, limits=(DeclaredLimit(key=hostile, concurrency=1),))
    for name in ("h0", "h1") if first else ():
        wait(ledger, name, shape)
    for name in ("j0", "j1", "j2"):
        wait(ledger, name, ONE)
    batches = leave(ledger)
    for name in () if first else ("h0", "h1"):
        wait(ledger, name, shape)
    batches += leave(ledger)
    at_once = len(batches)

    while batches:
        batch = batches.pop()
        held = claim(ledger, batch)
        ledger.commit(batch, [GOOD], fence=held.fence, position=0, lease_s=30)
        batches += leave(ledger)

    assert at_once == 2
    assert {ledger.job(name).state for name in ("h0", "h1", "j0", "j1", "j2")} == {JobState.SUCCEEDED}


def test_B2_a_key_of_two_lines_takes_no_slot_of_the_second(
    ledger: VirtualLedger, client: redis.Redis
) -> None:
    """A caller who may say what follows a line break must not hold up another tenant."""
    limits = (DeclaredLimit(key="user/x\ntenant:victim", concurrency=9),)
    wait(ledger, "evil", Buffer(key="x", max_size=1, limits=limits))
    (evil,) = leave(ledger)
    claim(ledger, evil)
    ledger.change_limit("tenant:victim", LimitChange(concurrency=1))

    wait(ledger, "good", Buffer(key="g", max_size=1), tenant="victim")

    assert len(leave(ledger)) == 1
    assert [state.key for state in ledger.limits()] == ["tenant:victim", "user/x\\ntenant:victim"]
    assert client.zrange(Keys().limit_slots("user/x\\ntenant:victim"), 0, -1) == [evil.encode()]


def test_B2_a_clock_that_was_put_back_does_not_stop_a_rate(
    ledger: VirtualLedger, client: redis.Redis
) -> None:
    """Redis goes on elsewhere, ten minutes behind: tokens come from then on."""
    shape = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", rate_per_s=10.0, burst=1),))
    wait(ledger, "a", shape)
    spent = leave(ledger)
    client.hset(Keys().limit("api"), "a", ledger.now_ms + 600_000)

    wait(ledger, "b", shape)
    at_once = leave(ledger)
    ledger.let_pass(101)

    assert (len(spent), len(at_once), len(leave(ledger))) == (1, 0, 1)


def test_B2_a_rate_is_felt_by_calls_that_were_accepted_before(ledger: VirtualLedger) -> None:
    """A batch of them begins when there is a token, and pays for all; the next waits until that is back."""
    for number in range(4):
        ledger.submit(header(f"j{number}"), calls(0, 50), base=0, total=50)
    ledger.change_limit("tool:text.stats", LimitChange(rate_per_s=10.0, burst=1))

    came_of_it = states(ledger, [f"j{number}.0" for number in range(4)])
    begun = []
    for _ in range(4):
        ledger.let_pass(2500)
        rung = leave(ledger)
        begun.append([state.value for state in states(ledger, rung)])

    assert came_of_it == [GRANTED, PARKED, PARKED, PARKED]
    assert sum("granted" in some for some in begun) == 2, "50 calls take five seconds at ten a second"


def test_B2_what_was_paid_for_is_not_paid_again(ledger: VirtualLedger) -> None:
    """A worker is lost; the batch goes on without tokens."""
    ledger.submit(header("j"), calls(0, 2), base=0, total=2)
    ledger.change_limit("tool:text.stats", LimitChange(rate_per_s=0.001, burst=1))
    first = claim(ledger, "j.0", "lost:1:1#1", lease_s=1).state
    ledger.let_pass(2000)

    assert (first, claim(ledger, "j.0", "next:1:1#1").state) == (GRANTED, GRANTED)


@pytest.mark.parametrize("formed", [False, True])
def test_J1_B2_a_deadline_holds_for_a_batch_that_waits_for_a_limit(
    ledger: VirtualLedger, *, formed: bool
) -> None:
    """Whoever waits for it is told when it passes, not when the pause is over."""
    if formed:
        for name, deadline_s in (("j", 5.0), ("later", 500.0)):
            one = [BufferedCall(CallEntry(0, "{}"))]
            shape = Buffer(key="k", max_size=2, max_wait_ms=100)
            ledger.enqueue(header(name), one, [shape], base=0, total=1, deadline_s=deadline_s)
        (batch,) = leave(ledger)
    else:
        ledger.submit(header("j"), calls(0, 1), base=0, total=1, deadline_s=5)
        batch = "j.0"
    ledger.change_limit("tool:text.stats", LimitChange(paused_until_ms=ledger.now_ms + 3_600_000))
    parked = claim(ledger, batch).state
    ledger.let_pass(5001)

    ledger.reap(ReapTerms())

    assert (parked, ledger.job("j").state) == (PARKED, JobState.EXPIRED)
    assert not formed or ledger.job("later").state is JobState.QUEUED


def test_B2_who_waits_for_tokens_puts_off_nobody_who_waits_for_a_slot(ledger: VirtualLedger) -> None:
    """The slot's holder is lost: whoever has paid is rung for when it comes back."""
    key = "tool:text.stats"
    for name in ("holder", "owes"):
        ledger.submit(header(name), calls(0, 1), base=0, total=1)
    ledger.change_limit(key, LimitChange(concurrency=1, rate_per_s=0.001, burst=1))
    wait(ledger, "paid", Buffer(key="k", max_size=1))
    (paid,) = leave(ledger)
    ledger.let_pass(16_000)
    ledger.change_limit(key, LimitChange(rate_per_s=math.inf))
    held = claim(ledger, "holder.0", "lost:1:1#1", lease_s=10).state
    parked = claim(ledger, paid, "p:1:1#1").state
    ledger.change_limit(key, LimitChange(rate_per_s=0.001))
    leave(ledger)

    ledger.let_pass(10_000)
    refused = claim(ledger, "owes.0", "o:1:1#1").state

    assert (held, parked, refused) == (GRANTED, PARKED, PARKED)
    assert leave(ledger) == [paid]
