"""What the model test has found, each history by itself, on the same clock."""

from __future__ import annotations

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Buffer,
    CallEntry,
    Claim,
    ClaimState,
    Commit,
    DeclaredLimit,
    LimitChange,
    ReapTerms,
)
from tests.integration.ledger_model.virtual_time import VirtualLedger
from tests.integration.ledger_model.waiting import claim, leave, wait
from tests.support.ledger_values import GOOD, header

ONE = DeclaredLimit(key="api", concurrency=1)
HOUR_MS = 3_600_000


def finish(ledger: VirtualLedger, batch: str, held: Claim) -> Commit:
    """Records all calls of a batch."""
    return ledger.commit(batch, [GOOD] * held.calls_in_batch, fence=held.fence, position=0, lease_s=30)


def test_B1_a_flush_holds_for_calls_that_wait_for_a_limit(ledger: VirtualLedger) -> None:
    """What is left when some of them have left does not wait for its age again."""
    buffer = Buffer(key="k", max_size=2, max_wait_ms=60_000, limits=(ONE,))
    wait(ledger, "runs", Buffer(limits=(ONE,)))
    (running,) = leave(ledger)
    for name in "abc":
        wait(ledger, name, buffer)
    leave(ledger)

    told = ledger.flush(tenant="t", tool="text.stats", key="k")
    sizes = []
    for _ in range(2):
        finish(ledger, running, claim(ledger, running))
        (running,) = leave(ledger)
        sizes.append(claim(ledger, running).calls_in_batch)

    assert told == 3
    assert sizes == [2, 1]


def test_B1_a_flush_holds_for_nothing_that_comes_later(ledger: VirtualLedger) -> None:
    """A call that comes while flushed ones wait for a slot has its own time."""
    buffer = Buffer(key="k", max_size=2, max_wait_ms=60_000, limits=(ONE,))
    wait(ledger, "runs", Buffer(limits=(ONE,)))
    (running,) = leave(ledger)
    wait(ledger, "a", buffer)
    wait(ledger, "b", buffer)
    ledger.flush(tenant="t", tool="text.stats", key="k")
    leave(ledger)
    wait(ledger, "late", buffer)

    finish(ledger, running, claim(ledger, running))
    (both,) = leave(ledger)
    held = claim(ledger, both)
    finish(ledger, both, held)

    assert held.calls_in_batch == 2
    assert leave(ledger) == []


def test_B2_a_declared_limit_holds_for_calls_that_wait_for_hours(ledger: VirtualLedger) -> None:
    """Delayed ones, those that a pause holds up, and batches that nobody came for."""
    paused = Buffer(key="p", max_size=1, limits=(ONE, DeclaredLimit(key="site")))
    ledger.change_limit("site", LimitChange(paused_until_ms=ledger.now_ms + 3 * HOUR_MS))
    wait(ledger, "a", paused)
    wait(ledger, "b", paused)
    delayed = Buffer(key="d", max_size=1, limits=(ONE,))
    wait(ledger, "c", delayed, delay_s=2.5 * 3600)
    wait(ledger, "d", delayed, delay_s=2.5 * 3600)
    leave(ledger)

    counts = []
    for _ in range(5):
        ledger.let_pass(HOUR_MS + 1)
        batches = leave(ledger)
        counts.append(len(batches))
        for batch in batches:
            finish(ledger, batch, claim(ledger, batch))

    assert counts == [0, 0, 1, 1, 1]


def test_B2_a_declared_limit_holds_for_batches_that_nobody_came_for(ledger: VirtualLedger) -> None:
    """When workers come back after hours, no more run at once than may."""
    buffer = Buffer(key="k", max_size=1, limits=(ONE,))
    wait(ledger, "a", buffer)
    wait(ledger, "b", buffer)
    batches = leave(ledger)
    ledger.let_pass(60_000)
    batches += leave(ledger)
    ledger.let_pass(2 * HOUR_MS)

    states = [claim(ledger, batch, f"a:1:1#{batch}").state for batch in batches]

    assert len(batches) == 2
    assert states == [ClaimState.GRANTED, ClaimState.PARKED]


def test_B2_a_batch_that_runs_for_hours_keeps_its_slot(ledger: VirtualLedger) -> None:
    """As long as its lease is renewed."""
    buffer = Buffer(key="k", max_size=1, limits=(ONE,))
    wait(ledger, "a", buffer)
    (long,) = leave(ledger)
    held = claim(ledger, long, lease_s=1800)

    wait(ledger, "b", buffer)

    renewed = []
    left = leave(ledger)
    for _ in range(6):
        ledger.let_pass(1_500_000)
        left += leave(ledger)
        renewed.append(ledger.renew(long, fence=held.fence, lease_s=1800))

    assert renewed == [Commit.OK] * 6
    assert left == []


def test_B2_another_batchs_lease_cuts_no_slot_short(ledger: VirtualLedger) -> None:
    """A short one that comes later says nothing of a long one."""
    two = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=2),))
    wait(ledger, "long", two)
    wait(ledger, "short", two)
    long, short = leave(ledger)
    claim(ledger, long, lease_s=3 * 3600)
    finish(ledger, short, claim(ledger, short, "b:1:1#1", lease_s=1))
    ledger.let_pass(2 * HOUR_MS)
    wait(ledger, "c", two)
    wait(ledger, "d", two)

    assert len(leave(ledger)) == 1


def test_B2_the_tokens_of_a_slow_rate_are_not_forgotten(ledger: VirtualLedger) -> None:
    """Ten in ten hours are not ten in each hour."""
    buffer = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", rate_per_s=1 / 3600, burst=10),))
    for number in range(20):
        wait(ledger, f"j{number}", buffer)
    first = len(leave(ledger))
    ledger.let_pass(2 * HOUR_MS + 1000)

    wait(ledger, "j20", buffer)

    assert (first, len(leave(ledger))) == (10, 2)


def test_E2_a_long_pause_is_not_forgotten(ledger: VirtualLedger) -> None:
    """A tool was told to wait for three hours; that calls come meanwhile changes nothing."""
    buffer = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=5),))
    wait(ledger, "a", buffer)
    (batch,) = leave(ledger)
    held = claim(ledger, batch)
    ledger.commit(batch, [GOOD], fence=held.fence, position=0, lease_s=30, pause_s=3 * 3600)

    counts = []
    for name in "bcd":
        wait(ledger, name, buffer)
        ledger.let_pass(HOUR_MS + 1000)
        counts.append(len(leave(ledger)))

    assert counts == [0, 0, 3]


def test_B2_who_lost_a_cancelled_batch_long_ago_does_not_free_its_slot(ledger: VirtualLedger) -> None:
    """Another holds it now, and may be where nobody reaches it."""
    ledger.submit(header("j"), [CallEntry(0, "{}")], base=0, total=1)
    ledger.change_limit("tool:text.stats", LimitChange(concurrency=1))
    lost = claim(ledger, "j.0", "lost:1:1#1", lease_s=1)
    ledger.let_pass(2000)
    claim(ledger, "j.0", "far:1:1#1", lease_s=600)
    ledger.cancel("j")

    answer = finish(ledger, "j.0", lost)
    wait(ledger, "next", Buffer())

    assert answer is Commit.STOPPED
    assert leave(ledger) == []


def test_B2_a_pause_brings_no_slot_back_that_was_lost(ledger: VirtualLedger) -> None:
    """Whose lease is over has stopped: while its key pauses it does not begin again."""
    wait(ledger, "a", Buffer(limits=(ONE,)))
    (batch,) = leave(ledger)
    held = claim(ledger, batch, lease_s=1)
    ledger.change_limit("api", LimitChange(paused_until_ms=ledger.now_ms + 60_000))
    ledger.let_pass(2000)

    assert ledger.renew(batch, fence=held.fence, lease_s=30) is Commit.LOST


def test_B2_a_batch_that_waits_for_a_slot_keeps_no_dispatcher_busy(ledger: VirtualLedger) -> None:
    """It is looked at when a slot may be free, not again and again."""
    ledger.submit(header("j"), [CallEntry(0, "{}")], base=0, total=1)
    ledger.change_limit("tool:text.stats", LimitChange(concurrency=0))
    state = claim(ledger, "j.0").state
    ledger.let_pass(61_000)

    assert state is ClaimState.PARKED
    assert leave(ledger) == []


def test_B2_a_batch_that_waited_for_a_slot_leaves_the_line_when_it_runs(
    ledger: VirtualLedger, client: redis.Redis
) -> None:
    """Otherwise it takes the room of one that might be formed."""
    ledger.submit(header("j"), [CallEntry(0, "{}")], base=0, total=1)
    ledger.change_limit("tool:text.stats", LimitChange(concurrency=0))
    claim(ledger, "j.0")
    ledger.change_limit("tool:text.stats", LimitChange(concurrency=1))
    rung = leave(ledger)
    finish(ledger, "j.0", claim(ledger, "j.0"))

    assert rung == ["j.0"]
    assert client.zcard(f"{Keys().prefix}formed:penstock.default") == 0


def test_B2_a_weight_is_taken_back_with_its_limit(ledger: VirtualLedger, client: redis.Redis) -> None:
    """Of a tenant and of a key."""
    for key in ("tenant:t", "k"):
        ledger.change_limit(key, LimitChange(weight=5.0))
        ledger.clear_limit(key)

    assert client.hgetall(Keys().weights) == {}


def test_B4_a_batch_that_is_parked_for_good_is_still_looked_at(ledger: VirtualLedger) -> None:
    """Should nobody wake it, the reaper rings."""
    ledger.submit(header("j"), [CallEntry(0, "{}")], base=0, total=1)
    ledger.change_limit("tool:text.stats", LimitChange(concurrency=0))
    claim(ledger, "j.0")
    ledger.clear_limit("tool:text.stats")
    ledger.let_pass(61_000)

    assert [batch.batch_id for batch in ledger.reap(ReapTerms())] == ["j.0"]
