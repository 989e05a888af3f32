"""How runs end before their items have: cancelled, too late, damaged; and what is left of a run at all."""

from __future__ import annotations

from typing import Any, cast

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Advance,
    ClaimState,
    Commit,
    DispatchTerms,
    FlowState,
    InnerOf,
    JobState,
    Ledger,
    ReapTerms,
    Retention,
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
    run_inner,
    step,
)
from tests.support.ledger_values import GOOD, terms
from tests.support.waiting import wait_until


def under_way(ledger: Ledger, run: str = "r", **changes: Any) -> None:
    """A run of two flows: one has a fan-out, whose member calls a tool; the other stands at its beginning."""
    begun(ledger, run, 2, total=None, **changes)
    begun(ledger, run, 2, base=2, total=None)
    ledger.seal(run)
    claim = entered(ledger, f"{run}/0", "0")
    ledger.advance(done(f"{run}/0", "0", claim, records=records([0]), traces=b"[t]"), step("1"))
    fan = entered(ledger, f"{run}/0", "1")
    ledger.plant(InnerOf(f"{run}/0", "1", fan.fence), members(2))
    ledger.fan(done(f"{run}/0", "1", fan), step("2"), members=2)
    member = entered(ledger, f"{run}/0/1.0", "0", "m:1:1#7")
    inner(ledger, f"{run}/0/1.0", "0", member)


def only_what_is_kept(client: redis.Redis, run: str = "r") -> set[str]:
    """The keys that are left of a run, without what all runs share; each of them goes by itself."""
    names = {name.decode().removeprefix("penstock:") for name in cast("list[bytes]", client.keys("*"))}
    kept = {name for name in names if run in name.split(":", 1)[-1] and name not in {"ready", "broken"}}
    assert [name for name in kept if client.pttl(f"penstock:{name}") < 0] == []
    return kept


def heard(client: redis.Redis, listening: redis.client.PubSub, channel: str) -> set[bytes]:
    """What was said on the channels since they were subscribed to, up to a last word of ours on one."""
    said: set[bytes] = set()
    wait_until(lambda: client.publish(channel, b"over"), 30, "somebody listens")
    while b"over" not in said:
        message = listening.get_message(timeout=30)
        if message is not None and message["type"] == "message":
            said.add(message["data"])
    return said - {b"over"}


def time_is_over(client: redis.Redis, *jobs: str) -> None:
    """The deadlines of these jobs have passed, and all that is open is looked at."""
    for job in jobs:
        client.hset(f"penstock:j:{job}", "deadline", 1)
    for name in cast("list[bytes]", client.zrange("penstock:open", 0, -1)):
        client.zadd("penstock:open", {name: 0})


def test_J2_a_cancelled_run_stops_wherever_it_is(ledger: Ledger, client: redis.Redis) -> None:
    """Holders of flows and of inner jobs are told; nothing begins or is recorded any more."""
    under_way(ledger)
    held = entered(ledger, "r/2", "0", "f:1:1#3")
    batch = ledger.claim("r/0/1.0:0.0", terms("i:1:1#9"))
    with client.pubsub() as listening:  # type: ignore[no-untyped-call]
        channels = [ledger.keys.holder_channel(holder) for holder in ("m:1:1", "f:1:1", "i:1:1")]
        listening.subscribe(*channels)
        heard(client, listening, channels[-1])

        assert ledger.cancel("r")
        said = heard(client, listening, channels[0])

    assert said == {b">r/0/1.0", b">r/2", b"r/0/1.0:0.0"}
    assert ledger.renew(">r/2", fence=held.fence, lease_s=30) is Commit.STOPPED
    assert ledger.renew("r/0/1.0:0.0", fence=batch.fence, lease_s=30) is Commit.STOPPED
    late = ledger.commit("r/0/1.0:0.0", [GOOD] * 2, fence=batch.fence, position=0, lease_s=30)
    assert late in (Commit.LOST, Commit.STOPPED)
    assert ledger.advance(done("r/2", "0", held, records=records([0, 1])), None).state is Advance.STOPPED
    assert ledger.plant(InnerOf("r/2", "0", held.fence), members(1)) is Advance.STOPPED
    for flow, stage in (("r/0", "2"), ("r/2", "0"), ("r/0/1.0", "0"), ("r/0/1.1", "0")):
        assert ledger.enter(flow, stage, terms("x:1:1#1")).state is FlowState.GONE
    assert ledger.claim("r/0/1.0:0.0", terms()).state is ClaimState.GONE
    assert (ledger.job("r").state, ledger.job("r").done) == (JobState.CANCELLED, 1)


def test_a_cancelled_run_leaves_nothing_but_what_is_kept(ledger: Ledger, client: redis.Redis) -> None:
    """Dispatchers close its flows at once, whoever holds them; pending counts are right again."""
    under_way(ledger)
    entered(ledger, "r/2", "0")
    ledger.cancel("r")
    ledger.dispatch(DispatchTerms())
    time_is_over(client)
    ledger.reap(ReapTerms())

    assert only_what_is_kept(client) == {"j:r", "j:r:ok", "j:r:out", "j:r:plan", "j:r:resume"}
    assert client.zcard("penstock:open") == 0
    assert client.zcard("penstock:ready") == 0
    assert pending(ledger) == (0, 0)


def test_L2_a_run_that_was_cancelled_keeps_from_where_it_could_go_on(ledger: Ledger) -> None:
    """Each flow as it was left, with its traces; members begin anew."""
    under_way(ledger)
    ledger.cancel("r")
    ledger.dispatch(DispatchTerms())

    first, second = ledger.resumable("r").flows
    assert (first.base, first.stage, first.count, first.ended) == (0, "2", 2, frozenset({0}))
    assert (first.items, first.traces) == (b"|after 1", {"0": b"[t]"})
    assert (second.base, second.stage, second.count, second.items) == (2, "0", 2, b"|items")
    assert ledger.open_flows("r") == 0


def test_I1_a_run_whose_time_is_over_expires(ledger: Ledger, client: redis.Redis) -> None:
    """Items that had not ended are closed as expired, as calls of batches are; those that had stay."""
    under_way(ledger, deadline_s=3600.0)
    ledger.renew(">r/0/1.0", fence=1, lease_s=0)
    time_is_over(client, "r", "r/0/1.0:0")
    ledger.reap(ReapTerms())

    job = ledger.job("r")
    assert (job.state, job.done, job.expired) == (JobState.EXPIRED, 1, 3)
    closed = {(index, entry.closed) for entry in ledger.completions("r")[1] for index in entry.indexes}
    assert closed == {(0, None), (1, "expired"), (2, "expired"), (3, "expired")}
    time_is_over(client)
    ledger.reap(ReapTerms())
    assert client.zcard("penstock:open") == 0
    assert pending(ledger) == (0, 0)


def test_a_deadline_passes_while_the_input_is_fed(ledger: Ledger, client: redis.Redis) -> None:
    """What was accepted expires, and the run ends when its input does."""
    begun(ledger, "r", 2, total=None, deadline_s=3600.0)
    claim = entered(ledger, "r/0", "0")
    job = inner(ledger, "r/0", "0", claim)
    assert ledger.job(job).deadline_ms == ledger.job("r").deadline_ms == claim.deadline_ms
    time_is_over(client, "r")

    assert ledger.advance(done("r/0", "0", claim), step("1")).state is Advance.STOPPED
    assert ledger.job("r").expired == 2
    assert not ledger.job("r").state.final
    assert ledger.seal("r") is JobState.EXPIRED
    assert job_or_none(ledger, job) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("n", "many"), ("f", ""), ("f", "0x1"), ("run", "other"), ("at", "nowhere"), ("at", "end")],
        *[("m", "-1"), ("m", "1"), ("base", "1e400"), ("created", "1e3"), ("z", "0,1")],
        *[("p", "x"), ("p", ""), ("fm", "1e9"), ("u", "r/3"), ("base", "7")],
    ],
)
def test_a_record_that_cannot_be_believed_is_set_aside(
    ledger: Ledger, client: redis.Redis, field: str, value: str
) -> None:
    """Its run fails and says why; others are looked at as ever."""
    begun(ledger, "r")
    begun(ledger, "s", ring_after_s=0)
    client.hset("penstock:f:r/0", field, value)
    client.zadd("penstock:open", {">r/0": 0})

    assert [ring.flow for ring in ledger.reap(ReapTerms())] == ["s/0"]
    assert ledger.enter("r/0", "0", terms()).state is FlowState.GONE
    job = ledger.job("r")
    assert (job.state, job.error) == (JobState.FAILED, "the record of flow r/0 was damaged")
    assert client.zscore("penstock:broken", ">r/0") is not None
    assert client.pttl("penstock:f:r/0") > 0
    assert client.zscore("penstock:open", ">r/0") is None
    assert pending(ledger) == (3, 300)


def test_a_members_record_that_cannot_be_believed_is_set_aside(ledger: Ledger, client: redis.Redis) -> None:
    """It counts as nothing that waits; the reaper looks at all others as ever."""
    begun(ledger, "r")
    begun(ledger, "s", ring_after_s=0)
    claim = entered(ledger, "r/0", "0")
    ledger.plant(InnerOf("r/0", "0", claim.fence), members(2))
    ledger.fan(done("r/0", "0", claim), step("1"), members=2)
    client.hset("penstock:f:r/0/0.1", "created", "x")
    client.zadd("penstock:open", {">r/0/0.1": 0})

    assert [ring.flow for ring in ledger.reap(ReapTerms())] == ["s/0"]
    job = ledger.job("r")
    assert (job.state, job.error) == (JobState.FAILED, "the record of flow r/0/0.1 was damaged")


@pytest.mark.parametrize(
    ("flow", "field", "value"),
    [("r/0", "m", "9"), ("r/0", "fs", "7"), ("r/0/0.1", "at", "end")],
)
def test_a_flow_does_not_wait_for_members_that_cannot_end(
    ledger: Ledger, client: redis.Redis, flow: str, field: str, value: str
) -> None:
    """They are counted when it is looked at, as it is now and then; who gathers them sees what is missing."""
    begun(ledger, "r")
    claim = entered(ledger, "r/0", "0")
    ledger.plant(InnerOf("r/0", "0", claim.fence), members(2))
    ledger.fan(done("r/0", "0", claim), step("1"), members=2)
    client.zadd("penstock:open", {">r/0": 0})
    assert ledger.reap(ReapTerms()) == []
    ledger.advance(done("r/0/0.0", "0", entered(ledger, "r/0/0.0", "0")), None)
    client.hset(f"penstock:f:{flow}", field, value)
    if field == "m":
        ledger.advance(done("r/0/0.1", "0", entered(ledger, "r/0/0.1", "0")), None)
    client.zadd("penstock:open", {">r/0": 0})

    assert [ring.flow for ring in ledger.reap(ReapTerms())] == ["r/0"]
    assert ledger.enter("r/0", "1", terms()).state is FlowState.GRANTED


def test_a_record_of_another_type_is_set_aside(ledger: Ledger, client: redis.Redis) -> None:
    """Whoever looks first."""
    begun(ledger, "r")
    client.delete("penstock:f:r/0")
    client.set("penstock:f:r/0", "x")

    assert ledger.enter("r/0", "0", terms()).state is FlowState.GONE
    assert ledger.job("r").state is JobState.FAILED


@pytest.mark.parametrize("damage", [("HSET", "x|in", "many"), ("HSET", "x|in", 2**63 - 1), ("SET", "x")])
def test_damaged_figures_of_a_step_keep_no_item_from_ending(
    ledger: Ledger, client: redis.Redis, damage: tuple[str, ...]
) -> None:
    """They begin anew, and each item is recorded once."""
    begun(ledger, "r")
    command, *values = damage
    cast("Any", client).execute_command(command, "penstock:j:r:steps", *values)

    ended(ledger, "r/0", "0", counters={"x|in": 3})

    job = ledger.job("r")
    assert (job.state, job.done, job.failed) == (JobState.SUCCEEDED, 3, 0)
    assert client.hgetall("penstock:j:r:steps") == {b"x|in": b"3"}


@pytest.mark.parametrize("flow", ["r/0", "r/0/0.1"])
@pytest.mark.parametrize("rung", [True, False])
def test_a_run_whose_flow_was_removed_fails(
    ledger: Ledger, client: redis.Redis, flow: str, rung: bool
) -> None:
    """Whoever looks first, a worker or the reaper: else it would wait for ever."""
    begun(ledger, "r")
    claim = entered(ledger, "r/0", "0")
    ledger.plant(InnerOf("r/0", "0", claim.fence), members(2))
    ledger.fan(done("r/0", "0", claim), step("1"), members=2)
    client.delete(f"penstock:f:{flow}")
    client.zadd("penstock:open", {f">{flow}": 0})

    if rung:
        assert ledger.enter(flow, "0", terms()).state is FlowState.GONE
    else:
        assert ledger.reap(ReapTerms()) == []

    job = ledger.job("r")
    assert (job.state, job.error) == (JobState.FAILED, f"the record of flow {flow} was lost")
    assert client.zscore("penstock:open", f">{flow}") is None


@pytest.mark.parametrize("sealed_first", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_a_run_of_which_items_were_lost_fails(
    ledger: Ledger, client: redis.Redis, late: bool, sealed_first: bool
) -> None:
    """When its input and its last flow have ended: nobody else could say so."""
    begun(ledger, "r", total=None, deadline_s=3600.0)
    begun(ledger, "r", 2, base=3, total=None)
    client.hset("penstock:f:r/0", "z", "0 2")
    if sealed_first:
        ledger.seal("r")

    ended(ledger, "r/3", "0", 2)
    claim = entered(ledger, "r/0", "0")
    if late:
        time_is_over(client, "r")
    answer = ledger.advance(done("r/0", "0", claim, records=records([1])), None)
    assert answer.state is (Advance.STOPPED if late else Advance.OK)
    if not sealed_first:
        assert not ledger.job("r").state.final
        ledger.seal("r")

    job = ledger.job("r")
    assert (job.state, job.error) == (JobState.FAILED, "2 of its items were lost")


def test_a_flow_takes_only_its_own_inner_jobs_with_it(ledger: Ledger) -> None:
    """Whatever is written among their names."""
    begun(ledger, "r", 1)
    begun(ledger, "s")
    claim = entered(ledger, "r/0", "0")
    job = inner(ledger, "r/0", "0", claim)
    ledger._redis.hset("penstock:f:r/0", "ins", f"s r/1:0 {job}")

    ledger.advance(done("r/0", "0", claim, records=records([0])), None)

    assert ledger.job("s").accepted == 3
    assert job_or_none(ledger, job) is None


def test_I11_what_a_run_leaves_goes_by_itself(ledger: Ledger, client: redis.Redis) -> None:
    """Successes and failures each with their own time; states of failed items with the failures."""
    short = Ledger(client, Keys(), Retention(result_ttl_s=100, failure_ttl_s=1000))
    begun(short, "r", 2)
    job = inner(short, "r/0", "0", entered(short, "r/0", "0"))
    run_inner(short, job)
    passed(short, "r/0", "0", "1", counters={"x|in": 2}, traces=b"[]")
    short.attach("r", b"after")
    last = entered(short, "r/0", "1")
    began_ms = short.clock_ms()
    short.advance(done("r/0", "1", last, records=records([0, 1], failed=[1]), resume={1: b"|s"}), None)

    assert only_what_is_kept(client) == {
        f"j:r{part}" for part in ("", ":ok", ":err", ":out", ":plan", ":steps", ":after", ":resume")
    }
    left_ms = {part: client.pttl(f"penstock:j:r:{part}") for part in ("ok", "err", "resume", "plan")}
    took_ms = short.clock_ms() - began_ms
    for part, kept_ms in {"ok": 100_000, "err": 1_000_000, "resume": 1_000_000, "plan": 1_000_000}.items():
        assert kept_ms - took_ms - 1 <= left_ms[part] <= kept_ms, part
    assert short.attached("r") == b"after"


def test_a_run_that_ends_well_leaves_no_states(ledger: Ledger, client: redis.Redis) -> None:
    """There is nothing to go on from."""
    begun(ledger, "r")
    ended(ledger, "r/0", "0")

    assert only_what_is_kept(client) == {"j:r", "j:r:ok", "j:r:out", "j:r:plan"}
