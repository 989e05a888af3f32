"""Commit and claim on a real Redis: the next batch comes with a commit, in order, and is no easier lost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Buffer,
    BufferedCall,
    CallEntry,
    Claim,
    ClaimState,
    Commit,
    Committed,
    DispatchTerms,
    JobState,
    Ledger,
    LimitChange,
    ReapTerms,
)
from tests.support.ledger_values import GOOD, calls, granted, header, terms

QUEUE = "penstock.default"
KEYS = Keys()


@pytest.fixture
def client(redis_server: Any) -> Iterator[redis.Redis]:
    """A client of the test's Redis, which is empty."""
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    """A ledger on the test's Redis."""
    return Ledger(client, KEYS)


def finish(
    ledger: Ledger, batch: str, claim: Claim, holder: str = "a:1:1#2", queues: tuple[str, ...] = (QUEUE,)
) -> Committed:
    """Record all of a batch of good calls and ask for the next one."""
    return ledger.commit_and_claim(
        batch,
        [GOOD] * (claim.calls_in_batch - claim.recorded),
        fence=claim.fence,
        position=claim.recorded,
        terms=terms(holder),
        queues=queues,
    )


def waiting(client: redis.Redis, queue: str = QUEUE) -> list[str]:
    """Who waits in a queue, first come first."""
    found: Any = client.zrange(KEYS.waiting(queue), 0, -1)
    return [batch.decode() for batch in found]


def test_the_next_batch_of_the_queue_comes_with_the_commit(ledger: Ledger, client: redis.Redis) -> None:
    """Whoever was accepted first comes first, whichever job it is of; then there is none."""
    ledger.submit(header("k"), calls(0, 1), base=0, total=1)
    ledger.submit(header("j"), calls(0, 2), base=0)
    ledger.submit(header("i"), calls(0, 1), base=0, total=1)

    second = finish(ledger, "k.0", granted(ledger, "k.0"))
    assert second.claim is not None
    third = finish(ledger, "j.0", second.claim)
    assert third.claim is not None
    last = finish(ledger, "i.0", third.claim)

    assert (second.answer, second.batch_id, second.claim.state) == (
        Commit.FINISHED,
        "j.0",
        ClaimState.GRANTED,
    )
    assert (second.claim.calls_in_batch, second.claim.attempts, second.claim.careful) == (2, 0, False)
    assert third.batch_id == "i.0"
    assert last == Committed(Commit.FINISHED)
    assert waiting(client) == []
    assert [ledger.job(job).done for job in "kji"] == [1, 2, 1]
    assert ledger.job("i").state is JobState.SUCCEEDED


def test_a_batch_that_is_not_finished_brings_no_other(ledger: Ledger) -> None:
    """One process holds one batch."""
    ledger.submit(header("j"), calls(0, 2), base=0)
    ledger.submit(header("j"), calls(2, 2), base=2)
    claim = granted(ledger, "j.0")

    answer = ledger.commit_and_claim(
        "j.0", [GOOD], fence=claim.fence, position=0, terms=terms("a:1:1#2"), queues=[QUEUE]
    )

    assert answer == Committed(Commit.OK)
    assert ledger.claim("j.2", terms("b:1:1#1")).state is ClaimState.GRANTED


def test_B4_a_late_doorbell_for_what_came_with_a_commit_finds_nothing_to_do(ledger: Ledger) -> None:
    """While it runs it is held, and the doorbell says by whom; after that it is gone."""
    for base in (0, 1):
        ledger.submit(header("j"), calls(base, 1), base=base)
    given = finish(ledger, "j.0", granted(ledger, "j.0"))
    assert given.claim is not None

    held = ledger.claim("j.1", terms("b:1:1#1"))
    finish(ledger, "j.1", given.claim)

    assert (held.state, held.holder) == (ClaimState.HELD, "a:1:1#2")
    assert ledger.claim("j.1", terms("b:1:1#2")).state is ClaimState.GONE


def test_nothing_is_overtaken(ledger: Ledger, client: redis.Redis) -> None:
    """Another queue that is served, another tool or a call that may run once only: Celery decides."""
    for job, more in (
        ("bulk", {"queue": "penstock.bulk"}),
        ("tool", {"tool": "text.slug"}),
        ("once", {"once": True}),
    ):
        client.flushall()
        ledger.submit(header("j"), calls(0, 1), base=0)
        ledger.submit(replace(header(job), **more), calls(0, 1), base=0)
        ledger.submit(header("j"), calls(1, 1), base=1)

        both = (QUEUE, "penstock.bulk")
        assert finish(ledger, "j.0", granted(ledger, "j.0"), queues=both) == Committed(Commit.FINISHED), job
        assert ledger.claim("j.1", terms("b:1:1#1")).state is ClaimState.GRANTED


def test_formed_batches_take_their_turn_by_their_age(ledger: Ledger) -> None:
    """Whatever waits longest comes next, a stretch of one job or a batch formed of many."""
    ledger.submit(header("j"), calls(0, 1), base=0)
    first = granted(ledger, "j.0")
    keyed = [BufferedCall(CallEntry(0, "{}"))]
    ledger.enqueue(header("k"), keyed, [Buffer(key="k")], base=0, total=1)
    (formed,) = ledger.dispatch(DispatchTerms()).batches
    time.sleep(0.002)  # the two lines count in milliseconds and microseconds
    ledger.submit(header("j"), calls(1, 1), base=1)

    second = finish(ledger, "j.0", first)
    assert second.claim is not None
    third = finish(ledger, formed.batch_id, second.claim, "b:1:1#3")

    assert (second.batch_id, third.batch_id) == (formed.batch_id, "j.1")
    assert second.claim.formed


def test_a_formed_batch_of_another_tool_is_not_overtaken(ledger: Ledger) -> None:
    """Its doorbell comes first."""
    ledger.submit(header("j"), calls(0, 1), base=0)
    other = replace(header("k"), tool="text.slug")
    ledger.enqueue(other, [BufferedCall(CallEntry(0, "{}"))], [Buffer(key="k")], base=0, total=1)
    ledger.dispatch(DispatchTerms())
    time.sleep(0.002)
    ledger.submit(header("j"), calls(1, 1), base=1)

    assert finish(ledger, "j.0", granted(ledger, "j.0")) == Committed(Commit.FINISHED)


def test_B2_limits_hold_for_what_comes_with_a_commit(ledger: Ledger, client: redis.Redis) -> None:
    """A limit that is set while batches wait: the next one waits for its slot, as at any other claim."""
    for base in (0, 1, 2):
        ledger.submit(header("j"), calls(base, 1), base=base)
    first = granted(ledger, "j.0")
    ledger.change_limit("tool:text.stats", LimitChange(concurrency=1))
    other = granted(ledger, "j.1", "b:1:1#1")

    answer = finish(ledger, "j.0", first)

    assert other.limited
    assert answer == Committed(Commit.FINISHED)
    assert waiting(client) == []
    assert ledger.claim("j.2", terms("c:1:1#1")).state is ClaimState.PARKED


def test_a_worker_is_given_nothing_of_a_queue_that_it_does_not_serve(ledger: Ledger) -> None:
    """Whoever rang on a wrong queue does not turn a worker into one of that batch's queue."""
    for base in (0, 1):
        ledger.submit(header("j"), calls(base, 1), base=base)

    answer = finish(ledger, "j.0", granted(ledger, "j.0"), queues=("penstock.pool.gpu",))

    assert answer == Committed(Commit.FINISHED)


def test_B4_a_commit_that_is_sent_again_brings_the_same_batch_again(ledger: Ledger) -> None:
    """Its answer got lost: nothing is recorded twice, nobody is charged, and the batch is not left behind."""
    for base in (0, 2, 4):
        ledger.submit(header("j"), calls(base, 2), base=base)
    claim = granted(ledger, "j.0")

    finish(ledger, "j.0", claim)
    again = finish(ledger, "j.0", claim)

    assert (again.answer, again.batch_id) == (Commit.LOST, "j.2")
    assert again.claim is not None
    assert again.claim.attempts == 0
    assert not again.claim.careful
    assert ledger.job("j").done == 2
    assert finish(ledger, "j.2", again.claim, "a:1:1#3").batch_id == "j.4"
    assert finish(ledger, "j.0", claim) == Committed(Commit.LOST), "what it was given before has ended"


def test_B4_who_vanishes_with_what_came_with_a_commit_is_charged_for_it(
    ledger: Ledger, client: redis.Redis
) -> None:
    """Like any other holder; from then on only doorbells start that batch."""
    for base in (0, 2, 4):
        ledger.submit(header("j"), calls(base, 2), base=base)
    finish(ledger, "j.0", granted(ledger, "j.0"))

    taken_over = granted(ledger, "j.2", "b:1:1#1", takeover="a:1:1#2")

    assert (taken_over.careful, taken_over.attempts) == (True, 1)
    ledger.release("j.2", fence=taken_over.fence)
    assert waiting(client) == ["j.2", "j.4"]
    ledger.submit(header("i"), calls(0, 1), base=0)
    granted(ledger, "j.4", "b:1:1#2")
    assert finish(ledger, "i.0", granted(ledger, "i.0", "c:1:1#1")) == Committed(Commit.FINISHED)


def test_a_batch_that_was_given_back_waits_where_it_was(ledger: Ledger, client: redis.Redis) -> None:
    """A worker that stops costs nobody its place."""
    for base in (0, 1, 2):
        ledger.submit(header("j"), calls(base, 1), base=base)
    claim = granted(ledger, "j.0")

    ledger.release("j.0", fence=claim.fence)

    assert waiting(client) == ["j.0", "j.1", "j.2"]


def test_what_was_cancelled_or_is_damaged_leaves_the_line(ledger: Ledger, client: redis.Redis) -> None:
    """It holds up nobody behind it, in its own queue or in another."""
    ledger.submit(header("j"), calls(0, 1), base=0)
    for job in ("gone", "cancelled", "damaged"):
        ledger.submit(header(job), calls(0, 1), base=0)
    ledger.submit(replace(header("bulk"), queue="penstock.bulk"), calls(0, 1), base=0)
    ledger.submit(header("j"), calls(1, 1), base=1)
    client.delete(KEYS.batch("gone.0"))
    client.delete(KEYS.batch("bulk.0"))
    ledger.cancel("cancelled")
    client.hset(KEYS.batch("damaged.0"), "n", "many")

    answer = finish(ledger, "j.0", granted(ledger, "j.0"), queues=(QUEUE, "penstock.bulk"))

    assert answer.batch_id == "j.1"
    assert waiting(client) == []
    assert waiting(client, "penstock.bulk") == []


def test_what_ends_without_a_worker_waits_no_longer(ledger: Ledger, client: redis.Redis) -> None:
    """The reaper ends it, and clears its place."""
    ledger.submit(header("j"), calls(0, 1), base=0, ring_after_s=0)
    ledger.cancel("j")

    ledger.reap(ReapTerms())

    assert waiting(client) == []


class ManyBatches(RuleBasedStateMachine):
    """Batches of two jobs, two workers that commit and claim, lose answers and vanish, and a model."""

    server_url = ""

    @initialize()
    def begin(self) -> None:
        """Two empty jobs."""
        self.ledger = Ledger(redis.Redis.from_url(self.server_url), Keys(f"{uuid.uuid4().hex}:"))
        self.redis = redis.Redis.from_url(self.server_url)
        self.accepted = {"i": 0, "j": 0}
        self.line: list[str] = []
        #: All that were accepted, in that order.
        self.order: list[str] = []
        #: What each worker runs, and what it thinks that it may commit.
        self.running: dict[str, tuple[str, Claim, str]] = {}
        self.lost: dict[str, str] = {}
        self.recorded: set[str] = set()
        self.names = 0

    def _name(self, worker: str) -> str:
        self.names += 1
        return f"{worker}:1:1#{self.names}"

    @rule(job=st.sampled_from("ij"))
    def submit(self, job: str) -> None:
        """Accept a batch of two calls."""
        base = self.accepted[job]
        self.ledger.submit(header(job), calls(base, 2), base=base)
        self.accepted[job] += 2
        self.line.append(f"{job}.{base}")
        self.order.append(f"{job}.{base}")

    @rule(worker=st.sampled_from("ab"), data=st.data())
    def hear(self, worker: str, data: st.DataObject) -> None:
        """A worker that runs nothing hears any doorbell, perhaps an old one."""
        every = [f"{job}.{base}" for job, count in self.accepted.items() for base in range(0, count, 2)]
        if worker in self.running or not every:
            return
        batch, holder = data.draw(st.sampled_from(every)), self._name(worker)
        claim = self.ledger.claim(batch, terms(holder, takeover=self.lost.get(batch, ""), max_attempts=99))
        if claim.state is ClaimState.GRANTED:
            assert batch in self.line or batch in self.lost
            self.line = [b for b in self.line if b != batch]
            self.lost.pop(batch, None)
            self.running[worker] = (batch, claim, holder)
        else:
            assert batch not in self.line

    @precondition(lambda self: self.running)
    @rule(data=st.data(), lost_answers=st.integers(0, 2), ask=st.booleans())
    def commit(self, data: st.DataObject, lost_answers: int, ask: bool) -> None:
        """A worker records what is left, and may ask for more; it asks again when no answer comes."""
        worker = data.draw(st.sampled_from(sorted(self.running)))
        batch, claim, _ = self.running.pop(worker)
        records = [GOOD] * (2 - claim.recorded)
        holder = self._name(worker)
        self.recorded.add(batch)
        if not ask:
            assert (
                self.ledger.commit(batch, records, fence=claim.fence, position=claim.recorded, lease_s=30)
                is Commit.FINISHED
            )
            return
        for _ in range(lost_answers + 1):
            answer = finish(self.ledger, batch, claim, holder)
        following = self.line[0] if self.line else None
        if following is None or self._only_by_doorbell(following):
            assert answer.batch_id is None
            return
        assert answer.batch_id == following
        assert answer.claim is not None
        self.line.pop(0)
        self.running[worker] = (following, answer.claim, holder)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        """A worker dies with what it runs."""
        worker = data.draw(st.sampled_from(sorted(self.running)))
        batch, _, holder = self.running.pop(worker)
        self.lost[batch] = holder

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """A worker stops; what it ran waits where it was."""
        worker = data.draw(st.sampled_from(sorted(self.running)))
        batch, claim, _ = self.running.pop(worker)
        assert self.ledger.release(batch, fence=claim.fence) is Commit.OK
        self.line = [b for b in self.order if b in {*self.line, batch}]

    def _only_by_doorbell(self, batch: str) -> bool:
        return self.redis.hget(self.ledger.keys.batch(batch), "careful") == b"1"

    @invariant()
    def the_line_is_what_nobody_has(self) -> None:
        """Every batch waits, runs, was lost with its worker, or is recorded; each index once."""
        if not hasattr(self, "ledger"):
            return
        found: Any = self.redis.zrange(self.ledger.keys.waiting(QUEUE), 0, -1)
        assert [b.decode() for b in found] == self.line
        held = {batch for batch, _, _ in self.running.values()} | set(self.lost)
        opened: Any = self.redis.zrange(self.ledger.keys.open, 0, -1)
        assert {b.decode() for b in opened} == held | set(self.line)
        for job, count in self.accepted.items():
            if count == 0:
                continue
            named = [i for c in self.ledger.completions(job)[1] for i in c.indexes]
            mine = [int(b[2:]) + k for b in self.recorded if b.startswith(job) for k in (0, 1)]
            assert sorted(named) == sorted(mine)
            assert self.ledger.job(job).done == len(mine)


def test_B4_no_order_of_commits_that_claim_loses_doubles_or_overtakes_a_batch(redis_server: Any) -> None:
    """A model test over random histories."""
    ManyBatches.server_url = redis_server.url
    case = ManyBatches.TestCase
    case.settings = settings(
        max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()
