"""Calls that wait and may not run any more make room for others, on a clock that the test moves."""

from __future__ import annotations

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Bounds,
    Buffer,
    BufferedCall,
    CallEntry,
    ClaimState,
    DeclaredLimit,
    DispatchTerms,
    LimitChange,
    ReapTerms,
)
from penstock_plugins.errors import OverloadedError
from tests.integration.ledger_model.virtual_time import VirtualLedger
from tests.integration.ledger_model.waiting import wait
from tests.support.ledger_values import GOOD, granted, header, terms

HOUR_S = 3600.0
API = DeclaredLimit(key="api", concurrency=1)
PAUSED = Buffer(key="k", max_size=2, limits=(API,))


@pytest.fixture
def ledger(client: redis.Redis) -> VirtualLedger:
    """A ledger that takes few calls."""
    return VirtualLedger(client, bounds=Bounds(key_calls=3, calls=4))


def pause(ledger: VirtualLedger) -> None:
    """Nothing starts for an hour."""
    ledger.change_limit("api", LimitChange(paused_until_ms=ledger.now_ms + 3_600_000))


def look(ledger: VirtualLedger) -> None:
    """What schedulers do all the time."""
    ledger.dispatch(DispatchTerms())
    ledger.reap(ReapTerms())
    ledger.dispatch(DispatchTerms())


def pending(client: redis.Redis) -> list[int]:
    """Calls and bytes that are counted."""
    return [int(value or 0) for value in client.hmget(Keys().pending, "calls", "bytes")]


def test_B3_J2_cancelled_calls_behind_a_pause_make_room(ledger: VirtualLedger, client: redis.Redis) -> None:
    """At once, not when the pause is over."""
    pause(ledger)
    for name in "abc":
        wait(ledger, name, PAUSED)
    look(ledger)
    with pytest.raises(OverloadedError):
        wait(ledger, "d", PAUSED)

    for name in "abc":
        ledger.cancel(name)
    look(ledger)
    gone = pending(client)
    wait(ledger, "e", PAUSED)

    assert gone == [0, 0]
    assert client.zcard(Keys().limit_waiters("api")) == 0


def test_B3_J1_calls_whose_time_is_over_make_room(ledger: VirtualLedger, client: redis.Redis) -> None:
    """Those before and behind stay, in their order."""
    pause(ledger)
    wait(ledger, "first", PAUSED)
    wait(ledger, "short", PAUSED, deadline_s=5)
    wait(ledger, "last", PAUSED)
    ledger.let_pass(6000)
    look(ledger)
    left = pending(client)
    wait(ledger, "more", PAUSED)
    ledger.let_pass(3_600_000)

    (batch,) = ledger.dispatch(DispatchTerms()).batches
    held = granted(ledger, batch.batch_id)
    ledger.commit(batch.batch_id, [GOOD] * 2, fence=held.fence, position=0, lease_s=30)
    states = {name: ledger.job(name).state.value for name in ("first", "short", "last", "more")}

    assert left[0] == 2
    assert states == {"first": "succeeded", "short": "expired", "last": "succeeded", "more": "queued"}


def test_B3_J2_cancelled_calls_that_are_delayed_make_room(ledger: VirtualLedger, client: redis.Redis) -> None:
    """Their time may be months away."""
    for name in "abcd":
        wait(ledger, name, Buffer(), delay_s=90 * 24 * HOUR_S)
    for name in "abcd":
        ledger.cancel(name)
    look(ledger)

    assert pending(client) == [0, 0]
    assert list(client.scan_iter(f"{Keys().prefix}q*")) == []
    assert client.zcard(f"{Keys().prefix}due") == 0


def test_B3_J2_a_cancelled_batch_that_waits_for_a_limit_makes_room(
    ledger: VirtualLedger, client: redis.Redis
) -> None:
    """Within minutes, however long the pause is."""
    ledger.submit(header("j"), [CallEntry(0, "{}")], base=0, total=1)
    ledger.change_limit("tool:text.stats", LimitChange(paused_until_ms=ledger.now_ms + 86_400_000))
    parked = ledger.claim("j.0", terms()).state
    ledger.cancel("j")

    ledger.let_pass(600_001)
    look(ledger)

    assert (parked, pending(client)) == (ClaimState.PARKED, [0, 0])


def test_B1_a_batch_that_is_not_full_any_more_waits_for_others(ledger: VirtualLedger) -> None:
    """What made it full was cancelled."""
    slow = Buffer(key="k", max_size=2, max_wait_ms=60_000, limits=(API,))
    wait(ledger, "runs", Buffer(limits=(API,)))
    (running,) = ledger.dispatch(DispatchTerms()).batches
    held = granted(ledger, running.batch_id)
    wait(ledger, "a", slow)
    wait(ledger, "b", slow)
    look(ledger)
    ledger.cancel("a")
    ledger.reap(ReapTerms())
    ledger.commit(running.batch_id, [GOOD], fence=held.fence, position=0, lease_s=30)

    early = ledger.dispatch(DispatchTerms()).batches
    ledger.let_pass(60_000)
    late = ledger.dispatch(DispatchTerms()).batches

    assert (len(early), [batch.calls for batch in late]) == (0, [1])


def test_B3_many_that_were_cancelled_are_taken_out_in_several_looks(client: redis.Redis) -> None:
    """Some calls at a time, over several buffers; and what goes on stays where it is."""
    ledger = VirtualLedger(client)
    pause(ledger)
    shapes = [Buffer(key=key, max_size=2048, limits=(API,)) for key in "xyz"]
    for number in range(6):
        many = [BufferedCall(CallEntry(k, '{"n":1}'), k % 3) for k in range(1500)]
        ledger.enqueue(header(f"j{number}"), many, shapes, base=0, total=1500)
    for number in (0, 1, 3, 4):
        ledger.cancel(f"j{number}")

    counts = []
    for _ in range(9):
        ledger.reap(ReapTerms())
        counts.append(pending(client)[0])

    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 3000
    assert client.hkeys(Keys().pending) == [b"calls", b"bytes"]
    ledger.let_pass(3_600_001)
    (batch,) = ledger.dispatch(DispatchTerms()).batches
    assert batch.calls == 1000
