"""The ledger on a real Redis: nothing is lost, nothing is recorded twice, nobody else is charged."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Claim,
    ClaimState,
    Commit,
    JobState,
    Ledger,
    ReapTerms,
    Retention,
)
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ConflictError, JobNotFoundError
from penstock_plugins.result import from_record
from tests.integration.ledger_model.virtual_time import VirtualLedger
from tests.support.ledger_values import BAD, GOOD, calls, granted, header, terms


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
    return Ledger(client, Keys())


def test_a_batch_goes_its_way(ledger: Ledger, client: redis.Redis) -> None:
    """Submit, claim, commit: the results stand under their indexes and the job has ended."""
    ledger.submit(header("j"), calls(0, 3), base=0, total=3)
    claim = granted(ledger, "j.0")

    answer = ledger.commit("j.0", [GOOD, BAD, GOOD], fence=claim.fence, position=0, lease_s=30)

    job = ledger.job("j")
    assert answer is Commit.FINISHED
    assert (job.state, job.done, job.failed, job.total) == (JobState.FAILED, 2, 1, 3)
    assert ledger.results("j", [0, 1, 2, 3]) == [GOOD[1], BAD[1], GOOD[1], None]
    assert client.exists("penstock:b:j.0") == 0
    assert client.zcard("penstock:open") == 0


def test_B4_a_submit_sent_twice_is_accepted_once(ledger: Ledger) -> None:
    """Also after its batch has ended: an answer that got lost must not run the calls again."""
    first = ledger.submit(header("j"), calls(0, 2), base=0)
    again = ledger.submit(header("j"), calls(0, 2), base=0)
    claim = granted(ledger, "j.0")
    ledger.commit("j.0", [GOOD, GOOD], fence=claim.fence, position=0, lease_s=30)
    late = ledger.submit(header("j"), calls(0, 2), base=0)

    assert [first.accepted, again.accepted, late.accepted] == [True, False, False]
    assert ledger.job("j").accepted == 2
    assert ledger.claim("j.0", terms()).state is ClaimState.GONE


def test_a_batch_that_does_not_continue_its_job_is_refused(ledger: Ledger) -> None:
    """Indexes have no holes."""
    ledger.submit(header("j"), calls(0, 2), base=0)

    with pytest.raises(JobNotFoundError, match="does not continue"):
        ledger.submit(header("j"), calls(5, 2), base=5)


def test_B4_the_same_commit_sent_twice_records_once(ledger: Ledger) -> None:
    """A commit whose answer got lost is sent again."""
    ledger.submit(header("j"), calls(0, 3), base=0, total=3)
    claim = granted(ledger, "j.0")

    for _ in range(2):
        assert ledger.commit("j.0", [GOOD], fence=claim.fence, position=0, lease_s=30) is Commit.OK

    assert ledger.job("j").done == 1
    assert [c.indexes for c in ledger.completions("j")[1]] == [range(1)]


def test_B4_only_the_current_fence_commits(ledger: Ledger) -> None:
    """Who was paused beyond its lease comes back with an old fence, and nothing of it is recorded."""
    ledger.submit(header("j"), calls(0, 2), base=0, total=2)
    old = granted(ledger, "j.0", "a:1:1#1")
    new = granted(ledger, "j.0", "b:1:1#1", takeover="a:1:1#1")

    assert ledger.commit("j.0", [BAD, BAD], fence=old.fence, position=0, lease_s=30) is Commit.LOST
    assert ledger.renew("j.0", fence=old.fence, lease_s=30) is Commit.LOST
    assert ledger.release("j.0", fence=old.fence) is Commit.LOST
    assert ledger.commit("j.0", [GOOD, GOOD], fence=new.fence, position=0, lease_s=30) is Commit.FINISHED
    assert ledger.results("j", [0, 1]) == [GOOD[1], GOOD[1]]


def test_a_held_batch_is_refused_and_names_its_holder(ledger: Ledger) -> None:
    """So that the claimer can tell whether the holder still lives."""
    ledger.submit(header("j"), calls(0, 1), base=0)
    granted(ledger, "j.0", "a:1:1#1")

    refused = ledger.claim("j.0", terms("b:1:1#1"))

    assert (refused.state, refused.holder) == (ClaimState.HELD, "a:1:1#1")


def test_a_claim_sent_twice_by_one_holder_is_granted_twice_and_charges_nobody(ledger: Ledger) -> None:
    """The first answer got lost on its way."""
    ledger.submit(header("j"), calls(0, 1), base=0)
    granted(ledger, "j.0")

    again = granted(ledger, "j.0")

    assert (again.fence, again.attempts, again.careful) == (2, 0, False)


def test_a_batch_claimed_again_skips_what_is_recorded(ledger: Ledger) -> None:
    """And from then on its calls are committed one by one."""
    ledger.submit(header("j"), calls(0, 4), base=0)
    first = granted(ledger, "j.0", "a:1:1#1")
    ledger.commit("j.0", [GOOD, GOOD], fence=first.fence, position=0, lease_s=30)

    second = granted(ledger, "j.0", "b:1:1#1", takeover="a:1:1#1")

    assert (second.recorded, second.attempts, second.careful) == (2, 1, True)


def test_J3_a_call_that_loses_its_worker_again_and_again_is_set_aside_alone(ledger: Ledger) -> None:
    """The third loss makes it a dead letter; its neighbours before and behind it succeed."""
    ledger.submit(header("j"), calls(0, 3), base=0, total=3)
    granted(ledger, "j.0", "h0")
    ledger.commit("j.0", [GOOD], fence=1, position=0, lease_s=30)
    for loss in range(3):
        claim = granted(ledger, "j.0", f"h{loss + 1}", takeover=f"h{loss}")

    ledger.commit("j.0", [GOOD], fence=claim.fence, position=claim.recorded, lease_s=30)

    good, dead, after = ledger.results("j", [0, 1, 2])
    failure = from_record(dead or b"", call_id="j.1", tool="t", index=1).error
    assert (good, after) == (GOOD[1], GOOD[1])
    assert failure is not None
    assert failure.code is ErrorCode.QUARANTINED
    assert ledger.job("j").state is JobState.FAILED


def test_J3_a_dead_letter_keeps_what_is_needed_to_look_at_it_again(
    ledger: Ledger, client: redis.Redis
) -> None:
    """Params, header, attempts and who held it last."""
    ledger.submit(header("j"), calls(0, 1), base=0, total=1)
    granted(ledger, "j.0", "h0", max_attempts=1)
    ledger.claim("j.0", terms("h1", max_attempts=1, takeover="h0"))

    letter = client.hgetall("penstock:dead:j.0")

    assert letter[b"params"] == b'{"n":0}'
    assert letter[b"holder"] == b"h0"
    assert letter[b"header"] == header("j").to_json()
    assert client.zrange("penstock:dead", 0, -1) == [b"j.0"]


def test_E4_a_call_that_may_run_once_only_ends_interrupted(ledger: Ledger) -> None:
    """It may have been started: it is never started again; the calls behind it are."""
    ledger.submit(header("j", once=True), calls(0, 2), base=0, total=2)
    first = granted(ledger, "j.0", "a:1:1#1")

    second = granted(ledger, "j.0", "b:1:1#1", takeover="a:1:1#1")

    (record,) = ledger.results("j", [0])
    failure = from_record(record or b"", call_id="j.0", tool="t", index=0).error
    assert first.careful
    assert second.recorded == 1
    assert failure is not None
    assert failure.code is ErrorCode.INTERRUPTED


def test_E4_an_idempotent_call_is_run_again_after_a_lost_worker(ledger: Ledger) -> None:
    """Whoever claims its batch next gets it, and records its result."""
    ledger.submit(header("j"), calls(0, 1), base=0, total=1)
    granted(ledger, "j.0", "lost")

    again = granted(ledger, "j.0", "next", takeover="lost")
    answer = ledger.commit("j.0", [GOOD], fence=again.fence, position=0, lease_s=30)

    assert (again.recorded, again.attempts) == (0, 1)
    assert answer is Commit.FINISHED
    assert ledger.results("j", [0]) == [GOOD[1]]


def test_a_released_batch_is_free_at_once_and_nobody_is_charged(ledger: Ledger) -> None:
    """A worker that stops gives back what it has not started."""
    ledger.submit(header("j", once=True), calls(0, 2), base=0)
    claim = granted(ledger, "j.0", "a:1:1#1")

    ledger.release("j.0", fence=claim.fence)

    assert granted(ledger, "j.0", "b:1:1#1").recorded == 0


def test_J2_cancel_ends_the_job_and_tells_its_holders(ledger: Ledger, client: redis.Redis) -> None:
    """What waits is never granted, what runs cannot commit, what was recorded stays."""
    ledger.submit(header("j"), calls(0, 2), base=0)
    ledger.submit(header("j"), calls(2, 2), base=2)
    claim = granted(ledger, "j.0", "h:1:1#7")
    ledger.commit("j.0", [GOOD], fence=claim.fence, position=0, lease_s=30)
    channel = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]  # redis-py's
    channel.subscribe("penstock:w:h:1:1")
    channel.get_message(timeout=5)

    cancelled = [ledger.cancel("j"), ledger.cancel("j")]

    message = channel.get_message(timeout=5)
    channel.close()
    assert cancelled == [True, False]
    assert message is not None
    assert message["data"] == b"j.0"
    assert ledger.job("j").state is JobState.CANCELLED
    assert ledger.renew("j.0", fence=claim.fence, lease_s=30) is Commit.STOPPED
    assert ledger.commit("j.0", [GOOD], fence=claim.fence, position=1, lease_s=30) is Commit.STOPPED
    assert ledger.claim("j.2", terms()).state is ClaimState.GONE
    assert ledger.results("j", [0, 1]) == [GOOD[1], None]
    assert client.zcard("penstock:open") == 0


def test_J1_I1_what_waits_past_its_deadline_expires(ledger: Ledger) -> None:
    """The reaper ends it though no worker lives."""
    ledger.submit(header("j"), calls(0, 2), base=0, total=2, deadline_s=0.001)
    _until(lambda: ledger.reap(ReapTerms()) == [] and ledger.job("j").state.final)

    job = ledger.job("j")

    assert (job.state, job.expired) == (JobState.EXPIRED, 2)
    assert ("expired" in {c.closed for c in ledger.completions("j")[1]}) is True


def test_J1_a_claim_past_the_deadline_is_not_granted(ledger: Ledger) -> None:
    """By Redis's clock, whatever the worker's says."""
    ledger.submit(header("j"), calls(0, 1), base=0, total=1, deadline_s=0.001)

    _until(lambda: ledger.claim("j.0", terms()).state is ClaimState.GONE)

    assert ledger.job("j").state is JobState.EXPIRED


def test_E6_I8_the_same_key_gives_the_first_job(ledger: Ledger) -> None:
    """And another's params under the same key are a conflict."""
    first = ledger.submit(header("a"), calls(0, 1), base=0, total=1, single=True, idempotency=("k", "p"))

    second = ledger.submit(header("b"), calls(0, 1), base=0, total=1, single=True, idempotency=("k", "p"))

    assert (first.job_id, second.job_id, second.accepted) == ("a", "a", False)
    with pytest.raises(ConflictError, match="job a"):
        ledger.submit(header("c"), calls(0, 1), base=0, idempotency=("k", "other"))
    other = ledger.submit(header("d", tenant="u"), calls(0, 1), base=0, idempotency=("k", "other"))
    assert other.job_id == "d"


def test_B4_an_overdue_batch_is_rung_again_less_and_less_often(client: redis.Redis) -> None:
    """Back-off per batch, up to its cap."""
    ledger = VirtualLedger(client)
    ledger.submit(header("j"), calls(0, 3), base=0, ring_after_s=0)
    reap = ReapTerms(backoff_s=10, backoff_cap_s=15)

    first = ledger.reap(reap)
    second = ledger.reap(reap)
    waits = []
    for _ in range(3):
        waits.append(_due_in_ms(ledger, client, "j.0"))
        client.zadd("penstock:open", {"j.0": 0})
        ledger.reap(reap)

    assert [(o.batch_id, o.queue, o.tool, o.calls) for o in first] == [
        ("j.0", "penstock.default", "text.stats", 3)
    ]
    assert second == []
    assert waits == [10_000, 15_000, 15_000]


def test_a_deep_queue_is_not_rung_until_the_doorbell_is_old(ledger: Ledger, client: redis.Redis) -> None:
    """Its doorbell is most likely in it; but a lost one is found in any case."""
    ledger.submit(header("j"), calls(0, 1), base=0, ring_after_s=0)

    spared = ledger.reap(ReapTerms(), deep_queues=["penstock.default"])
    client.zadd("penstock:open", {"j.0": 0})
    rung = ledger.reap(ReapTerms(age_s=0), deep_queues=["penstock.default"])

    assert spared == []
    assert [o.batch_id for o in rung] == ["j.0"]


def test_a_leased_batch_is_looked_at_when_its_lease_ends(client: redis.Redis) -> None:
    """Not before: its worker may well be at it."""
    ledger = VirtualLedger(client)
    ledger.submit(header("j"), calls(0, 1), base=0, ring_after_s=0)
    granted(ledger, "j.0", lease_s=30.0)
    client.zadd("penstock:open", {"j.0": 0})

    assert ledger.reap(ReapTerms()) == []
    assert _due_in_ms(ledger, client, "j.0") == 30_000


def test_J1_I11_successes_and_failures_are_kept_apart(client: redis.Redis) -> None:
    """Each for as long as the operator says, from the end of the job."""
    ledger = Ledger(client, Keys(), Retention(result_ttl_s=100, failure_ttl_s=1000))
    ledger.submit(header("j"), calls(0, 2), base=0, total=2, single=False, idempotency=("k", "p"))
    before = client.ttl("penstock:j:j")
    granted(ledger, "j.0")

    ledger.commit("j.0", [GOOD, BAD], fence=1, position=0, lease_s=30)

    assert before == -1
    assert 90 < client.ttl("penstock:j:j:ok") <= 100
    assert 990 < client.ttl("penstock:j:j:err") <= 1000
    assert 990 < client.ttl("penstock:j:j") <= 1000
    assert 990 < client.ttl(Keys().idempotency("t", "text.stats", "k")) <= 1000


def test_I3_an_input_that_ends_with_an_error_fails_the_job_and_keeps_what_was_accepted(
    ledger: Ledger,
) -> None:
    """The total is known from then on."""
    ledger.submit(header("j"), calls(0, 1), base=0)
    unknown = ledger.job("j").total

    ledger.seal("j", error="the generator raised")
    granted(ledger, "j.0")
    ledger.commit("j.0", [GOOD], fence=1, position=0, lease_s=30)

    job = ledger.job("j")
    assert unknown is None
    assert (job.state, job.total, job.error) == (JobState.FAILED, 1, "the generator raised")


def test_a_sealed_job_accepts_no_more_calls(ledger: Ledger) -> None:
    """Although its calls have not ended yet; what it accepted before is answered as before."""
    ledger.submit(header("j"), calls(0, 1), base=0)
    ledger.seal("j")

    again = ledger.submit(header("j"), calls(0, 1), base=0)
    with pytest.raises(JobNotFoundError, match="accepts no more calls"):
        ledger.submit(header("j"), calls(1, 1), base=1)

    assert again.accepted is False
    assert ledger.job("j").accepted == 1


def test_a_map_that_nobody_feeds_any_more_ends_after_the_longest_retention(client: redis.Redis) -> None:
    """Its producer died and nobody resumed it: it must not stay for ever."""
    ledger = Ledger(client, Keys(), Retention(result_ttl_s=0.001, failure_ttl_s=60))
    ledger.submit(header("j"), calls(0, 1), base=0)
    granted(ledger, "j.0")
    ledger.commit("j.0", [GOOD], fence=1, position=0, lease_s=30)
    young = ledger.reap(ReapTerms()), ledger.job("j").state
    client.zadd("penstock:jobs", {"j": 1})

    ledger.reap(ReapTerms())

    assert young == ([], JobState.RUNNING)
    assert ledger.job("j").state is JobState.FAILED
    assert "nobody resumed it" in ledger.job("j").error
    assert client.ttl("penstock:j:j") > 0


def test_an_empty_map_succeeds_when_it_is_sealed(ledger: Ledger) -> None:
    """No calls, no failures."""
    ledger.open_job("j", tool="text.stats", digest="d", tenant="t", queue="penstock.default")

    assert ledger.seal("j") is JobState.SUCCEEDED


def test_J1_readers_are_woken_and_lose_nothing_between_two_readings(ledger: Ledger) -> None:
    """A cursor continues where the last reading ended."""
    ledger.submit(header("j"), calls(0, 2), base=0, total=2)
    granted(ledger, "j.0")
    ledger.commit("j.0", [GOOD], fence=1, position=0, lease_s=30)

    cursor, first = ledger.completions("j", wait_s=1)
    ledger.commit("j.0", [GOOD], fence=1, position=1, lease_s=30)
    cursor, second = ledger.completions("j", cursor=cursor, wait_s=1)
    _, third = ledger.completions("j", cursor=cursor)

    assert [c.indexes for c in first] == [range(1)]
    assert [(c.indexes, c.closed) for c in second] == [(range(1, 2), None), (range(0), "succeeded")]
    assert third == []


def test_a_job_that_does_not_exist_is_an_error_of_its_own(ledger: Ledger) -> None:
    """Whatever is asked of it."""
    for ask in (ledger.job, ledger.cancel, ledger.seal):
        with pytest.raises(JobNotFoundError, match="no job nothing"):
            ask("nothing")


@pytest.mark.parametrize(
    "damage",
    [
        {"n": "100000000"},
        {"n": "-1"},
        {"n": "nan"},
        {"n": "1.5"},
        {"n": ""},
        {"d": "-3"},
        {"d": "7"},
        {"base": "x"},
        {"l": ""},
        {"l": "inf"},
        {"x": "1e99"},
        {"r": "soon"},
    ],
    ids=str,
)
def test_B4_a_record_that_cannot_be_believed_is_set_aside_and_holds_nobody_up(
    ledger: Ledger, client: redis.Redis, damage: dict[str, str]
) -> None:
    """By a claim as by the reaper; its job fails and says why, and the batches behind it are rung."""
    for job in ("claimed", "reaped", "good"):
        ledger.submit(header(job), calls(0, 2), base=0, total=2, ring_after_s=0)
    for job in ("claimed", "reaped"):
        for field, value in damage.items():
            client.hset(f"penstock:b:{job}.0", field, value)

    claim = ledger.claim("claimed.0", terms())
    rung = ledger.reap(ReapTerms())

    assert claim.state is ClaimState.GONE
    assert [o.batch_id for o in rung] == ["good.0"]
    assert {ledger.job(j).state for j in ("claimed", "reaped")} == {JobState.FAILED}
    assert "was damaged" in ledger.job("reaped").error
    assert set(client.zrange(Keys().broken, 0, -1)) == {b"claimed.0", b"reaped.0"}


def test_B4_a_key_of_another_type_holds_nobody_up(ledger: Ledger, client: redis.Redis) -> None:
    """Neither a batch that is a string, nor a job that is a list."""
    for job in ("batch", "job", "good"):
        ledger.submit(header(job), calls(0, 1), base=0, total=1, ring_after_s=0)
    client.delete("penstock:b:batch.0", "penstock:j:job")
    client.set("penstock:b:batch.0", "no hash")
    client.rpush("penstock:j:job", "no hash")

    rung = ledger.reap(ReapTerms())

    assert [o.batch_id for o in rung] == ["good.0"]
    assert ledger.claim("batch.0", terms()).state is ClaimState.GONE


def test_a_damaged_job_is_an_error_of_ours_and_is_left_out_of_the_list(
    ledger: Ledger, client: redis.Redis
) -> None:
    """One bad record must not hide the others."""
    for job in ("number", "state", "type", "good"):
        ledger.submit(header(job), calls(0, 1), base=0)
    client.hset("penstock:j:number", "accepted", "many")
    client.hset("penstock:j:state", "state", b"\xff")
    client.delete("penstock:j:type")
    client.set("penstock:j:type", "no hash")
    client.zadd("penstock:jobs", {b"\xff\xfe": 1})

    listed = [job.id for job in ledger.jobs()]

    assert listed == ["good"]
    for job in ("number", "state"):
        with pytest.raises(JobNotFoundError, match="is damaged"):
            ledger.job(job)


def _due_in_ms(ledger: VirtualLedger, client: redis.Redis, batch: str) -> float:
    return float(client.zscore("penstock:open", batch) or 0) - ledger.now_ms


def _until(condition: Any) -> None:
    give_up_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come about"


class OneBatch(RuleBasedStateMachine):
    """A batch of calls, three workers that come, vanish and come back, and a model of what must be true."""

    server_url = ""
    SIZE = 4

    @initialize(once=st.booleans())
    def begin(self, once: bool) -> None:
        """Submit the batch."""
        self.ledger = Ledger(redis.Redis.from_url(self.server_url), Keys(f"{uuid.uuid4().hex}:"))
        self.once = once
        self.fences: dict[str, Claim] = {}
        self.started: dict[int, int] = {}
        self.recorded: dict[int, str] = {}
        self.holder = ""
        self.claims = 0
        self.ledger.submit(header("j", once=once), calls(0, self.SIZE), base=0, total=self.SIZE)

    @rule(worker=st.sampled_from("abc"))
    def claim(self, worker: str) -> None:
        """A worker takes the batch over from whoever had it, who is lost."""
        self.claims += 1
        me = f"{worker}#{self.claims}"
        claim = self.ledger.claim("j.0", terms(me, takeover=self.holder, max_attempts=3))
        self._read_back()
        if claim.state is ClaimState.GRANTED:
            self.fences[worker] = claim
            self.holder = me
            self.started[claim.recorded] = self.started.get(claim.recorded, 0) + 1

    @precondition(lambda self: self.fences)
    @rule(data=st.data(), count=st.integers(1, SIZE), good=st.booleans())
    def commit(self, data: st.DataObject, count: int, good: bool) -> None:
        """A worker commits from where its claim began, whether or not it still holds the lease."""
        worker = data.draw(st.sampled_from(sorted(self.fences)))
        claim = self.fences[worker]
        count = min(1 if claim.careful else count, self.SIZE - claim.recorded)
        current = self.holder.startswith(worker)
        answer = self.ledger.commit(
            "j.0", [GOOD if good else BAD] * count, fence=claim.fence, position=claim.recorded, lease_s=30
        )
        if not current:
            assert answer is Commit.LOST
        self._read_back()

    @precondition(lambda self: self.fences)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A worker gives the batch back."""
        worker = data.draw(st.sampled_from(sorted(self.fences)))
        if self.ledger.release("j.0", fence=self.fences[worker].fence) is Commit.OK:
            self.holder = ""

    def _read_back(self) -> None:
        for index, record in enumerate(self.ledger.results("j", range(self.SIZE))):
            if record is None:
                assert index not in self.recorded, "a recorded result was lost"
                continue
            known = self.recorded.setdefault(index, record.decode())
            assert known == record.decode(), "a recorded result was overwritten"

    @invariant()
    def counts_agree(self) -> None:
        """What the job counts is what is recorded, and the stream names each index once."""
        if not hasattr(self, "ledger"):
            return
        job = self.ledger.job("j")
        assert job.done + job.failed == len(self.recorded)
        named = [i for c in self.ledger.completions("j")[1] for i in c.indexes]
        assert sorted(named) == sorted(self.recorded)
        assert job.state.final == (len(self.recorded) == self.SIZE)


def test_B4_no_order_of_claims_commits_and_losses_loses_or_doubles_a_result(redis_server: Any) -> None:
    """A model test over random histories."""
    OneBatch.server_url = redis_server.url
    case = OneBatch.TestCase
    case.settings = settings(
        max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()
