"""Calls that wait, on a real Redis: they leave together, as limits and turns allow, and none is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import orjson
import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    UNLIMITED,
    BatchHeader,
    Bounds,
    Buffer,
    BufferedCall,
    CallEntry,
    Claim,
    ClaimState,
    ClaimTerms,
    Commit,
    DeclaredLimit,
    Dispatched,
    DispatchTerms,
    JobState,
    Ledger,
    LimitChange,
    Overdue,
    ReapTerms,
    RecordKind,
)
from penstock_plugins.errors import ConflictError, OverloadedError
from penstock_plugins.result import to_record
from tests.integration.ledger_model.virtual_time import VirtualLedger

GOOD = (RecordKind.SUCCESS, to_record(content=b"1", error=None, metadata={}))
NOTHING = (RecordKind.NOTHING, b"")
TERMS = DispatchTerms()


@pytest.fixture
def client(redis_server: Any) -> Iterator[redis.Redis]:
    """A client of the test's Redis, which is empty."""
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    """A ledger on the test's Redis. Where something must come in time, a test makes a `VirtualLedger`."""
    return Ledger(client, Keys())


def header(job: str, **changes: Any) -> BatchHeader:
    """A header of one job."""
    given: dict[str, Any] = {
        "tool": "web.fetch",
        "digest": "d" * 64,
        "tenant": "t",
        "queue": "penstock.default",
        "once": False,
        "expires_ms": 10**15,
        **changes,
    }
    return BatchHeader(job=job, **given)


def submit(ledger: Ledger, job: str, buffer: Buffer, *, tenant: str = "t", **options: Any) -> None:
    """One call that is a job, and waits in a buffer."""
    call = BufferedCall(CallEntry(0, f'{{"n":"{job}"}}', "mac"))
    ledger.enqueue(header(job, tenant=tenant), [call], [buffer], base=0, total=1, single=True, **options)


def claimed(ledger: Ledger, batch: Overdue | str, holder: str = "h:1:1#1", **changes: Any) -> Claim:
    """A claim, whatever came of it."""
    batch_id = batch if isinstance(batch, str) else batch.batch_id
    terms: dict[str, Any] = {"holder": holder, "lease_s": 30.0, "max_attempts": 3, **changes}
    return ledger.claim(batch_id, ClaimTerms(**terms))


def run(ledger: Ledger, batch: Overdue) -> None:
    """Claims a batch and records all of it."""
    claim = claimed(ledger, batch)
    assert claim.state is ClaimState.GRANTED
    records = [GOOD] * (claim.calls_in_batch - claim.recorded)
    answer = ledger.commit(
        batch.batch_id,
        records,
        fence=claim.fence,
        position=claim.recorded,
        lease_s=30,
        cost_us=100.0,
        cost_field=f"{'d' * 64}:web.fetch",
    )
    assert answer is Commit.FINISHED


def dispatched(ledger: Ledger, **changes: Any) -> list[Overdue]:
    """The batches that leave now."""
    return ledger.dispatch(DispatchTerms(**changes)).batches


def until(condition: Any) -> Any:
    """Waits for something that comes about by itself."""
    give_up_at = time.monotonic() + 10
    while not (found := condition()):
        assert time.monotonic() < give_up_at, "it did not come about"
        time.sleep(0.002)
    return found


def test_B1_calls_of_many_jobs_with_one_key_leave_together(ledger: Ledger, client: redis.Redis) -> None:
    """A batch leaves when it is full; each call's result stands in its own job."""
    for number in range(3):
        submit(ledger, f"j{number}", Buffer(key="k", max_size=3, max_wait_ms=60_000))

    (batch,) = dispatched(ledger)
    claim = claimed(ledger, batch)
    answer = ledger.commit(batch.batch_id, [GOOD] * 3, fence=claim.fence, position=0, lease_s=30)

    assert (batch.queue, batch.tool, batch.calls) == ("penstock.default", "web.fetch", 3)
    assert answer is Commit.FINISHED
    for number in range(3):
        job = ledger.job(f"j{number}")
        assert (job.state, job.done) == (JobState.SUCCEEDED, 1)
        assert ledger.results(f"j{number}", [0]) == [GOOD[1]]
    left = {key.decode() for key in client.scan_iter("penstock:*") if not key.startswith(b"penstock:j:")}
    assert left <= {"penstock:pend", "penstock:jobs", "penstock:fv:penstock.default", "penstock:limits"}
    assert client.hgetall("penstock:pend") == {b"calls": b"0", b"bytes": b"0"}


def test_B1_calls_of_several_producers_meet_in_one_batch(ledger: Ledger, redis_server: Any) -> None:
    """Wherever they are: what they have in common is the key."""
    with ExitStack() as stack:
        for number in range(3):
            client = stack.enter_context(redis.Redis.from_url(redis_server.url))
            submit(Ledger(client, Keys()), f"j{number}", Buffer(key="k", max_size=3, max_wait_ms=60_000))

    assert [batch.calls for batch in dispatched(ledger)] == [3]


def test_B1_without_a_key_a_call_leaves_at_once(ledger: Ledger) -> None:
    """Without a dispatcher; and one that waits for a limit only leaves as soon as that admits it."""
    ledger.submit(header("plain"), [CallEntry(0, "{}")], base=0, total=1)
    for name in ("a", "b"):
        submit(ledger, name, Buffer(limits=(DeclaredLimit(key="api", concurrency=5),)))

    plain = claimed(ledger, "plain.0")
    limited = dispatched(ledger)

    assert plain.state is ClaimState.GRANTED
    assert sum(batch.calls for batch in limited) == 2


def test_B1_each_call_of_a_batch_has_its_own_result_or_error(ledger: Ledger) -> None:
    """One that fails leaves the others as they are."""
    for name in "abc":
        submit(ledger, name, Buffer(key="k", max_size=3))
    (batch,) = dispatched(ledger)
    claim = claimed(ledger, batch)
    bad = (RecordKind.FAILURE, b'{"e":{"code":"TRAP","message":"x"},"m":{}}')
    other = (RecordKind.SUCCESS, to_record(content=b"2", error=None, metadata={}))

    ledger.commit(batch.batch_id, [GOOD, bad, other], fence=claim.fence, position=0, lease_s=30)

    assert [ledger.results(name, [0]) for name in "abc"] == [[GOOD[1]], [bad[1]], [other[1]]]
    assert [ledger.job(name).state.value for name in "abc"] == ["succeeded", "failed", "succeeded"]


def test_B1_what_a_formed_batch_hands_over(ledger: Ledger) -> None:
    """Every call comes with its own header, as it was signed."""
    submit(ledger, "a", Buffer(key="k", max_size=2))
    submit(ledger, "b", Buffer(key="k", max_size=2))

    (batch,) = dispatched(ledger)
    claim = claimed(ledger, batch)

    headers, entries = claim.header.split(b"\n"), orjson.loads(claim.calls)
    assert headers == [header("a").to_json(), header("b").to_json()]
    assert [(e[0], e[1], e[2], e[4], e[5]) for e in entries] == [
        (0, 0, 0, '{"n":"a"}', "mac"),
        (1, 0, 0, '{"n":"b"}', "mac"),
    ]
    assert (claim.formed, claim.limited, claim.closed) == (True, False, frozenset())


def test_B1_a_batch_leaves_when_its_oldest_call_has_waited(client: redis.Redis) -> None:
    """Not before, and the dispatcher is told when."""
    ledger = VirtualLedger(client)
    submit(ledger, "j", Buffer(key="k", max_size=3, max_wait_ms=150))

    ledger.let_pass(100)
    early = ledger.dispatch(TERMS)
    ledger.let_pass(50)
    (batch,) = dispatched(ledger)

    assert early.batches == []
    assert early.next_s == pytest.approx(0.05, abs=0.001)
    assert batch.calls == 1


def test_B1_a_batch_leaves_when_it_has_its_bytes(ledger: Ledger) -> None:
    """And none becomes larger than that, but for a single call."""
    large = Buffer(key="k", max_size=100, max_bytes=50, max_wait_ms=60_000)
    for number in range(3):
        call = BufferedCall(CallEntry(0, orjson.dumps({"x": "y" * 20}).decode()))
        ledger.enqueue(header(f"j{number}"), [call], [large], base=0, total=1)

    first = dispatched(ledger)

    assert [batch.calls for batch in first] == [1, 1]


def test_B1_a_producer_says_flush(ledger: Ledger) -> None:
    """All that waits under a key leaves at once, whatever it waits for."""
    for number in range(5):
        submit(ledger, f"j{number}", Buffer(key="k", max_size=3, max_wait_ms=60_000))
    submit(ledger, "other", Buffer(key="other", max_size=3, max_wait_ms=60_000))
    dispatched(ledger)

    count = ledger.flush(tenant="t", tool="web.fetch", key="k")

    assert count == 2
    assert [batch.calls for batch in dispatched(ledger)] == [2]


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "u"},
        {"tool": "web.post"},
        {"digest": "e" * 64},
        {"timeout_s": 1.0},
        {"queue": "penstock.bulk"},
    ],
)
def test_B1_what_differs_is_never_mixed(ledger: Ledger, changes: dict[str, Any]) -> None:
    """Tenants, tools, digests, policies and queues have batches of their own."""
    buffer = Buffer(key="k", max_size=10)
    ledger.enqueue(header("a"), [BufferedCall(CallEntry(0, "{}"))], [buffer], base=0, total=1)
    ledger.enqueue(header("b", **changes), [BufferedCall(CallEntry(0, "{}"))], [buffer], base=0, total=1)

    assert [batch.calls for batch in dispatched(ledger)] == [1, 1]


def test_B4_an_enqueue_sent_twice_is_accepted_once(ledger: Ledger) -> None:
    """Also while it waits and after it left."""
    for _ in range(2):
        submit(ledger, "j", Buffer(key="k"))
    (batch,) = dispatched(ledger)
    submit(ledger, "j", Buffer(key="k"))

    assert batch.calls == 1
    assert dispatched(ledger) == []


def test_E6_an_idempotency_key_holds_for_calls_that_wait(ledger: Ledger) -> None:
    """The second submission gets the first one's job; with other params it is CONFLICT."""
    call = [BufferedCall(CallEntry(0, "{}"))]
    first = ledger.enqueue(header("a"), call, [Buffer(key="k")], base=0, total=1, idempotency=("key", "p"))
    again = ledger.enqueue(header("b"), call, [Buffer(key="k")], base=0, total=1, idempotency=("key", "p"))

    assert (first.job_id, again.job_id, again.accepted) == ("a", "a", False)
    with pytest.raises(ConflictError):
        ledger.enqueue(header("c"), call, [Buffer(key="k")], base=0, total=1, idempotency=("key", "q"))


def test_B3_beyond_a_bound_submitting_is_overloaded(client: redis.Redis) -> None:
    """By calls of a key, of all, by bytes; nothing is accepted, and there is room again afterwards."""
    ledger = Ledger(client, Keys(), bounds=Bounds(key_calls=2, calls=3, size_bytes=10_000))
    submit(ledger, "a", Buffer(key="k"))
    submit(ledger, "b", Buffer(key="k"))

    with pytest.raises(OverloadedError, match="under one key") as one:
        submit(ledger, "c", Buffer(key="k"))
    submit(ledger, "c", Buffer(key="l"))
    with pytest.raises(OverloadedError, match="in all"):
        submit(ledger, "d", Buffer(key="m"))
    with pytest.raises(OverloadedError, match="in all"):
        ledger.submit(header("e"), [CallEntry(0, "{}")], base=0)
    for batch in dispatched(ledger):
        run(ledger, batch)
    ledger.submit(header("e"), [CallEntry(0, "x" * 9000)], base=0)
    with pytest.raises(OverloadedError, match="in all"):
        ledger.submit(header("f"), [CallEntry(0, "x" * 9000)], base=0)

    assert one.value.details["retry_after_s"] > 0
    assert one.value.recoverable


def test_B2_a_limit_is_never_exceeded_and_its_slots_come_back(ledger: Ledger) -> None:
    """Slots are taken when a batch is formed and given back when it has ended."""
    buffer = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=2),))
    for number in range(5):
        submit(ledger, f"j{number}", buffer)

    first = dispatched(ledger)
    held = dispatched(ledger)
    run(ledger, first[0])
    second = dispatched(ledger)

    assert [len(first), len(held), len(second)] == [2, 0, 1]
    (state,) = ledger.limits()
    assert (state.key, state.concurrency, state.running, state.waiting) == ("api", 2, 2, 1)


def test_B2_a_limit_is_shared_by_tools_and_several_hold_at_once(ledger: Ledger) -> None:
    """A call waits until each of its limits admits it."""
    shared = DeclaredLimit(key="shared", concurrency=1)
    own = DeclaredLimit(key="own", concurrency=1)
    ledger.enqueue(
        header("a"), [BufferedCall(CallEntry(0, "{}"))], [Buffer(limits=(shared,))], base=0, total=1
    )
    both = [Buffer(limits=(own, shared))]
    ledger.enqueue(header("b", tool="x.y"), [BufferedCall(CallEntry(0, "{}"))], both, base=0, total=1)

    first = dispatched(ledger)
    blocked = dispatched(ledger)
    run(ledger, first[0])
    then = dispatched(ledger)

    assert [batch.tool for batch in (*first, *then)] == ["web.fetch", "x.y"]
    assert blocked == []


def test_B2_the_operator_changes_a_limit_while_calls_wait(ledger: Ledger) -> None:
    """More slots let more leave at once, fewer none until enough have ended; clearing brings the old back."""
    buffer = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=1),))
    for number in range(10):
        submit(ledger, f"j{number}", buffer)
    batches = dispatched(ledger, waiting=100)
    counts = [len(batches)]

    ledger.change_limit("api", LimitChange(concurrency=4))
    batches += (more := dispatched(ledger, waiting=100))
    counts.append(len(more))
    claims = [claimed(ledger, batch, f"h:1:1#{batch.batch_id}") for batch in batches]
    ledger.change_limit("api", LimitChange(concurrency=2))
    ledger.commit(batches[0].batch_id, [GOOD], fence=claims[0].fence, position=0, lease_s=30)
    counts.append(len(dispatched(ledger, waiting=100)))
    ledger.change_limit("api", LimitChange(concurrency=UNLIMITED))
    counts.append(len(dispatched(ledger, waiting=100)))
    ledger.clear_limit("api")

    assert counts == [1, 3, 0, 6]
    assert ledger.limits()[0].concurrency == 1


def test_B2_limits_that_nobody_declared_hold_for_a_tool_and_a_tenant(ledger: Ledger) -> None:
    """Also for what was submitted before, and without waiting in a buffer."""
    ledger.submit(header("early"), [CallEntry(0, "{}")], base=0, total=1)
    ledger.change_limit("tool:web.fetch", LimitChange(concurrency=1))

    late = ledger.submit(header("late"), [CallEntry(0, "{}")], base=0, total=1)
    submit(ledger, "kept", Buffer(key="k"))
    (batch,) = dispatched(ledger)
    parked = claimed(ledger, "early.0")
    run(ledger, batch)
    (again,) = dispatched(ledger)

    assert (late.accepted, late.limited) == (False, True)
    assert parked.state is ClaimState.PARKED
    assert again.batch_id == "early.0"
    assert claimed(ledger, again).limited


def test_B2_a_slot_of_a_batch_that_nobody_claimed_comes_back(ledger: Ledger) -> None:
    """The other goes first then; who comes late waits for a slot again."""
    buffer = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=1),))
    submit(ledger, "a", buffer)
    submit(ledger, "b", buffer)
    (first,) = dispatched(ledger, reserve_s=0.05)

    (second,) = until(lambda: dispatched(ledger, reserve_s=60.0))
    late = claimed(ledger, first)
    run(ledger, second)
    (again,) = dispatched(ledger)

    assert late.state is ClaimState.PARKED
    assert again.batch_id == first.batch_id
    assert claimed(ledger, again).state is ClaimState.GRANTED


def test_B2_a_dead_holders_slot_comes_back_with_its_lease(ledger: Ledger) -> None:
    """And who held it cannot go on, although nobody has claimed its batch yet."""
    buffer = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=1),))
    submit(ledger, "a", buffer)
    submit(ledger, "b", buffer)
    (first,) = dispatched(ledger)
    lost = claimed(ledger, first, lease_s=0.05)

    (second,) = until(lambda: dispatched(ledger))

    assert ledger.renew(first.batch_id, fence=lost.fence, lease_s=30) is Commit.LOST
    assert claimed(ledger, second).state is ClaimState.GRANTED


def test_B2_a_batch_that_was_claimed_while_it_waited_keeps_its_slot(
    ledger: Ledger, client: redis.Redis
) -> None:
    """The dispatcher that finds it in line must not cut the slot's lease down to a reservation."""
    buffer = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=1),))
    submit(ledger, "a", buffer)
    submit(ledger, "b", buffer)
    (first,) = dispatched(ledger, reserve_s=0.05)
    (second,) = until(lambda: dispatched(ledger, reserve_s=60.0))
    parked = claimed(ledger, first)
    run(ledger, second)
    claim = claimed(ledger, first)
    before = client.zscore(Keys().limit_slots("api"), first.batch_id)

    rung = dispatched(ledger, reserve_s=0.05)

    assert (parked.state, claim.state) == (ClaimState.PARKED, ClaimState.GRANTED)
    assert rung == []
    assert client.zscore(Keys().limit_slots("api"), first.batch_id) == before


def test_B2_a_cancelled_batch_keeps_its_slot_as_long_as_its_lease(client: redis.Redis) -> None:
    """Its holder may be out of reach, where nobody tells it to stop."""
    ledger = VirtualLedger(client)
    ledger.submit(header("a"), [CallEntry(0, "{}")], base=0, total=1)
    ledger.change_limit("tool:web.fetch", LimitChange(concurrency=1))
    claim = claimed(ledger, "a.0", "far:1:1#1", lease_s=30.0)
    ledger.cancel("a")

    ledger.let_pass(29_000)
    other = claimed(ledger, "a.0", "near:1:1#1")
    ledger.reap(ReapTerms(), deep_queues=[])
    (held,) = ledger.limits()
    ledger.let_pass(1_000)
    later = claimed(ledger, "a.0")

    assert claim.limited
    assert other.state is ClaimState.HELD
    assert held.running == 1
    assert later.state is ClaimState.GONE
    assert ledger.limits()[0].running == 0


def test_B2_a_rate_admits_as_many_calls_as_there_are_tokens(ledger: Ledger) -> None:
    """A batch takes no more calls than may start; the rest follows at the rate, by Redis's clock."""
    limit = DeclaredLimit(key="api", rate_per_s=50.0, burst=4)
    buffer = Buffer(key="k", max_size=10, limits=(limit,))
    for number in range(7):
        submit(ledger, f"j{number}", buffer)

    first = ledger.dispatch(TERMS)
    rest: list[Overdue] = []

    def all_have_left() -> bool:
        rest.extend(dispatched(ledger))
        return sum(batch.calls for batch in rest) == 3

    until(all_have_left)

    assert [batch.calls for batch in first.batches] == [4]
    assert 0 < (first.next_s or 0) <= 0.02


def test_B2_a_rate_is_shared_by_tools_and_changes_while_calls_wait(ledger: Ledger) -> None:
    """More tokens let more leave at once; none at all let nothing leave."""
    buffers = [Buffer(key="k", max_size=10, limits=(DeclaredLimit(key="api", rate_per_s=0.001, burst=4),))]
    for job, tool in (("a", "web.fetch"), ("b", "web.post")):
        entries = [BufferedCall(CallEntry(k, "{}")) for k in range(6)]
        ledger.enqueue(header(job, tool=tool), entries, buffers, base=0, total=6)
    counts = [sum(batch.calls for batch in dispatched(ledger, waiting=100))]

    for change in (LimitChange(rate_per_s=0.0), LimitChange(rate_per_s=UNLIMITED)):
        ledger.change_limit("api", change)
        counts.append(sum(batch.calls for batch in dispatched(ledger, waiting=100)))

    assert counts == [4, 0, 8]


def test_B2_any_number_of_dispatchers_keep_a_limit(ledger: Ledger, redis_server: Any) -> None:
    """They ask at the same time, and each slot is given to one batch."""
    limit = DeclaredLimit(key="api", concurrency=3)
    for number in range(40):
        submit(ledger, f"j{number}", Buffer(key=f"k{number % 4}", max_size=1, limits=(limit,)))

    def ask(_: int) -> list[str]:
        with redis.Redis.from_url(redis_server.url) as client:
            mine = Ledger(client, Keys())
            return [batch.batch_id for _ in range(10) for batch in dispatched(mine, waiting=100)]

    with ThreadPoolExecutor(4) as pool:
        found = [batch for batches in pool.map(ask, range(4)) for batch in batches]

    assert len(found) == len(set(found)) == 3
    assert ledger.limits()[0].running == 3


def test_E2_a_rate_limit_that_a_tool_met_pauses_its_key_for_everyone(client: redis.Redis) -> None:
    """What runs goes on; what has not begun waits until the pause is over."""
    ledger = VirtualLedger(client)
    buffer = Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=2),))
    for name in "abc":
        submit(ledger, name, buffer)
    first, second = dispatched(ledger)
    claim, other = claimed(ledger, first), claimed(ledger, second, "h:1:1#2")

    ledger.commit(first.batch_id, [GOOD], fence=claim.fence, position=0, lease_s=30, pause_s=10.0)
    ledger.let_pass(9_000)
    paused = ledger.dispatch(TERMS)

    assert paused.batches == []
    assert ledger.limits()[0].paused_until_ms is not None
    assert ledger.renew(second.batch_id, fence=other.fence, lease_s=30) is Commit.OK
    ledger.let_pass(1_000)
    assert [batch.calls for batch in dispatched(ledger)] == [1]


def test_E2_a_rate_limit_that_a_tool_met_does_not_pause_its_tenant(ledger: Ledger) -> None:
    """The operator's key `tenant:…` holds for all of the tenant's tools, which met no limit."""
    ledger.change_limit("tenant:default", LimitChange(concurrency=8, weight=2.0))
    submit(ledger, "a", Buffer(key="k", max_size=1, limits=(DeclaredLimit(key="api", concurrency=2),)))
    (batch,) = dispatched(ledger)
    claim = claimed(ledger, batch)

    ledger.commit(batch.batch_id, [GOOD], fence=claim.fence, position=0, lease_s=30, pause_s=60.0)

    assert {state.key: state.paused_for_ms is not None for state in ledger.limits()} == {
        "api": True,
        "tenant:default": False,
    }


def test_E2_a_call_is_tried_again_later(ledger: Ledger) -> None:
    """It leaves its batch without a result, waits in a buffer, and comes back with its attempts."""
    ledger.submit(
        header("j"), [CallEntry(0, '{"a":1}', "m0"), CallEntry(1, '{"b":2}', "m1")], base=0, total=2
    )
    claim = claimed(ledger, "j.0")
    again = (RecordKind.RETRY, b"20 1\n" + claim.header + b'\n["{\\"b\\":2}","m1"]')

    answer = ledger.commit("j.0", [GOOD, again], fence=claim.fence, position=0, lease_s=30, cost_field="d:x")
    between = ledger.job("j")
    (batch,) = until(lambda: dispatched(ledger))
    second = claimed(ledger, batch)
    run(ledger, batch)

    assert answer is Commit.FINISHED
    assert (between.state, between.done) == (JobState.RUNNING, 1)
    assert orjson.loads(second.calls)[0][:3] == [0, 1, 1]
    assert ledger.job("j").state is JobState.SUCCEEDED
    assert [list(c.indexes) for c in ledger.completions("j")[1]] == [[0], [1], []]


def test_B2_keys_take_turns(ledger: Ledger) -> None:
    """A key that floods does not hold up one that is quiet."""
    for number in range(50):
        submit(ledger, f"f{number}", Buffer(key="flood", max_size=1))
    for batch in dispatched(ledger, waiting=2):
        claimed(ledger, batch)
    submit(ledger, "quiet", Buffer(key="quiet", max_size=1))

    next_ones = dispatched(ledger, waiting=2, limit=2)

    assert '{"n":"quiet"}' in [orjson.loads(claimed(ledger, batch).calls)[0][4] for batch in next_ones]


def test_B2_turns_are_charged_by_fuel_where_it_is_counted(ledger: Ledger) -> None:
    """Of two tools that take as long, one that does nine times as much has a tenth of the turns."""
    for tool, turn_us in (("web.fetch", 9000.0), ("web.post", None)):
        name = f"measured-{tool}"
        ledger.submit(header(name, tool=tool), [CallEntry(0, "{}")], base=0, total=1)
        claim = claimed(ledger, f"{name}.0")
        field = f"{'d' * 64}:{tool}"
        ledger.commit(
            f"{name}.0",
            [GOOD],
            fence=claim.fence,
            position=0,
            lease_s=30,
            cost_field=field,
            cost_us=1000.0,
            turn_us=turn_us,
        )
    for tool in ("web.fetch", "web.post"):
        entries = [BufferedCall(CallEntry(k, "{}")) for k in range(40)]
        ledger.enqueue(header(tool, tool=tool), entries, [Buffer(key=tool, max_size=1)], base=0, total=40)

    tools = [batch.tool for batch in dispatched(ledger, limit=20, waiting=100)]

    assert (tools.count("web.fetch"), tools.count("web.post")) == (2, 18)


def test_B2_fuel_that_is_not_counted_any_more_is_not_charged(ledger: Ledger, client: redis.Redis) -> None:
    """Both figures are averages of their own."""
    found = []
    for number, (cost_us, turn_us) in enumerate(((100.0, 50.0), (200.0, 150.0), (200.0, None))):
        ledger.submit(header(f"j{number}"), [CallEntry(0, "{}")], base=0, total=1)
        fence = claimed(ledger, f"j{number}.0").fence
        more = {"cost_field": "d:x", "cost_us": cost_us, "turn_us": turn_us}
        ledger.commit(f"j{number}.0", [GOOD], fence=fence, position=0, lease_s=30, **more)  # type: ignore[arg-type]
        found.append(client.hgetall(Keys().costs))

    assert found == [
        {b"d:x": b"100.0", b"d:x:turn": b"50.0"},
        {b"d:x": b"130.0", b"d:x:turn": b"80.0"},
        {b"d:x": b"151.0"},
    ]


def test_B2_calls_with_a_key_do_not_fall_behind_those_without(ledger: Ledger) -> None:
    """Of a queue with a backlog as many of them wait in line as of the others."""
    for number in range(20):
        submit(ledger, f"k{number}", Buffer(key="k", max_size=1))
    few = dispatched(ledger, waiting=2)
    for number in range(5):
        ledger.submit(header(f"plain{number}"), [CallEntry(0, "{}")], base=0, total=1)

    more = dispatched(ledger, waiting=2)

    assert (len(few), len(more)) == (2, 5)


def test_B2_tenants_take_turns_by_their_weights(ledger: Ledger) -> None:
    """Whoever has more keys does not get more; whoever weighs twice gets twice."""
    ledger.change_limit("tenant:heavy", LimitChange(concurrency=UNLIMITED, weight=2.0))
    for number in range(20):
        for key in "xyz":
            submit(ledger, f"m{key}{number}", Buffer(key=key, max_size=1), tenant="many")
        submit(ledger, f"h{number}", Buffer(key="x", max_size=1), tenant="heavy")

    first = dispatched(ledger, limit=12, waiting=100)

    tenants = [ledger.job(orjson.loads(claimed(ledger, b).calls)[0][4][6:-2]).tenant for b in first]
    assert (tenants.count("heavy"), tenants.count("many")) == (8, 4)


def test_J2_a_call_that_waits_is_cancelled(ledger: Ledger) -> None:
    """It is never handed out; its neighbours are."""
    for name in "abc":
        submit(ledger, name, Buffer(key="k", max_size=3))

    ledger.cancel("b")
    (batch,) = dispatched(ledger)

    assert batch.calls == 2
    assert ledger.job("b").state is JobState.CANCELLED


def test_J2_a_call_of_a_formed_batch_is_cancelled(ledger: Ledger, client: redis.Redis) -> None:
    """Before its batch is claimed it is passed over; while it runs, its holder hears which one it is."""
    for name in "abc":
        submit(ledger, name, Buffer(key="k", max_size=3))
    (batch,) = dispatched(ledger)
    ledger.cancel("a")
    claim = claimed(ledger, batch, "h:1:1#7")
    with client.pubsub() as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe("penstock:w:h:1:1")
        pubsub.get_message(timeout=5)
        ledger.cancel("b")
        heard: Any = until(lambda: pubsub.get_message(timeout=1))

    renewed = [ledger.renew(batch.batch_id, fence=claim.fence, lease_s=30, position=p) for p in (1, 2)]
    answer = ledger.commit(batch.batch_id, [NOTHING, GOOD, GOOD], fence=claim.fence, position=0, lease_s=30)

    assert claim.closed == {0}
    assert heard["data"] == f"{batch.batch_id} b".encode()
    assert renewed == [Commit.SKIP, Commit.OK]
    assert answer is Commit.FINISHED
    assert [ledger.job(name).state.value for name in "abc"] == ["cancelled", "cancelled", "succeeded"]
    assert ledger.results("b", [0]) == [None]


def test_J1_a_deadline_passes_while_calls_wait(client: redis.Redis) -> None:
    """In a buffer and in a formed batch; the others go on, and nothing is counted twice."""
    ledger = VirtualLedger(client)
    submit(ledger, "waits", Buffer(key="w", max_wait_ms=60_000), deadline_s=5.0)
    submit(ledger, "formed", Buffer(key="k", max_size=2), deadline_s=5.0)
    submit(ledger, "stays", Buffer(key="k", max_size=2))
    (batch,) = dispatched(ledger)

    ledger.let_pass(5_001)
    ledger.reap(ReapTerms())
    claims = [claimed(ledger, batch), claimed(ledger, batch, "h:1:1#2", takeover="h:1:1#1")]

    assert ledger.job("waits").state is JobState.EXPIRED
    assert ledger.job("formed").state is JobState.EXPIRED
    assert [claim.closed for claim in claims] == [{0}, {0}]
    assert (ledger.job("formed").expired, ledger.job("stays").state) == (1, JobState.RUNNING)


def test_calls_that_are_delayed_join_their_key_when_their_time_comes(client: redis.Redis) -> None:
    """Not before it."""
    ledger = VirtualLedger(client)
    buffer = Buffer(key="k", max_size=2, max_wait_ms=60_000)
    submit(ledger, "later", buffer, delay_s=5.0)
    submit(ledger, "now", buffer)

    ledger.let_pass(4_000)
    early = dispatched(ledger)
    ledger.let_pass(1_000)
    (batch,) = until(lambda: dispatched(ledger))

    assert early == []
    assert batch.calls == 2


def test_B4_a_batch_whose_dispatcher_died_is_rung_by_the_reaper(ledger: Ledger) -> None:
    """It was formed, and nobody rang."""
    submit(ledger, "j", Buffer(key="k"))
    (batch,) = dispatched(ledger, ring_after_s=0.02)

    found = until(lambda: ledger.reap(ReapTerms()))

    assert [b.batch_id for b in found] == [batch.batch_id]
    run(ledger, found[0])


def test_B4_a_lost_worker_is_charged_to_the_call_that_was_started(
    ledger: Ledger, client: redis.Redis
) -> None:
    """The guilty call of a formed batch is set aside in its own job; its neighbours go on."""
    for name in "abc":
        submit(ledger, name, Buffer(key="k", max_size=3))
    (batch,) = dispatched(ledger)
    claim = claimed(ledger, batch, "x#0")
    ledger.commit(batch.batch_id, [GOOD], fence=claim.fence, position=0, lease_s=30)

    for attempt in range(1, 4):
        claim = claimed(ledger, batch, f"x#{attempt}", takeover=f"x#{attempt - 1}")

    assert claim.recorded == 2
    assert [ledger.job(name).state.value for name in "abc"] == ["succeeded", "failed", "running"]
    letter = client.hgetall("penstock:dead:b.0")
    assert letter[b"header"] == header("b").to_json()
    assert (letter[b"params"], letter[b"mac"], letter[b"attempts"]) == (b'{"n":"b"}', b"mac", b"3")


def test_a_buffer_of_which_nothing_can_be_read_holds_nobody_up(ledger: Ledger, client: redis.Redis) -> None:
    """Whatever somebody wrote into it."""
    submit(ledger, "bad", Buffer(key="bad", max_wait_ms=1))
    name = client.zrange("penstock:buffers", 0, 0)[0].decode()  # type: ignore[union-attr]
    client.hset(f"penstock:qs:{name}", "size", "many")
    submit(ledger, "good", Buffer(key="good", max_wait_ms=1))

    (batch,) = until(lambda: dispatched(ledger))

    assert batch.calls == 1
    assert ledger.dispatch(TERMS) == Dispatched([], None)
