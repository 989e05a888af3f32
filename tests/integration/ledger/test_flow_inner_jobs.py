"""Inner jobs: a stage's calls as an ordinary job, which nobody lists and whose end its flow hears of."""

from __future__ import annotations

import pytest
import redis

from penstock_broker_config.dead_letters import DeadLetters, LetterFilter
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Advance,
    Bounds,
    Buffer,
    BufferedCall,
    ClaimState,
    Commit,
    DeclaredLimit,
    DispatchTerms,
    InnerOf,
    JobState,
    Leave,
    Ledger,
    LimitChange,
    ReapTerms,
    RecordKind,
    inner_job,
)
from penstock_broker_config.references import find_references
from tests.support.flow_values import (
    begun,
    done,
    entered,
    inner,
    job_or_none,
    pending,
    records,
    run_inner,
    step,
)
from tests.support.ledger_values import GOOD, calls, granted, header, terms


def test_a_stage_calls_through_an_inner_job(ledger: Ledger, client: redis.Redis) -> None:
    """It has results of its own until the flow goes on; then nothing is left of it."""
    begun(ledger, "r", 2)
    claim = entered(ledger, "r/0", "0")
    job = inner(ledger, "r/0", "0", claim)
    run_inner(ledger, job)

    assert job == "r/0:0"
    assert ledger.job(job).state is JobState.SUCCEEDED
    assert ledger.job(job).parent == "r/0"
    assert ledger.results(job, [0, 1]) == [GOOD[1]] * 2
    assert [listed.id for listed in ledger.jobs()] == ["r"]
    assert entered(ledger, "r/0", "0").inner == (job,)
    ledger.advance(done("r/0", "0", entered(ledger, "r/0", "0")), step("1"))
    assert [name for name in client.keys("*") if b":0" in name] == []
    assert client.exists("penstock:j:r:inner") == 0
    assert entered(ledger, "r/0", "1").inner == ()


def test_B4_an_inner_job_is_submitted_once(ledger: Ledger) -> None:
    """And only by who holds the flow at that stage: whoever comes late must not begin it again."""
    begun(ledger, "r", 2)
    old = entered(ledger, "r/0", "0", "a:1:1#1")
    job = inner(ledger, "r/0", "0", old)

    def submit(fence: int, stage: str = "0", name: str = job, flow: str = "r/0") -> tuple[bool, bool]:
        answer = ledger.submit(
            header(name), calls(0, 2), base=0, total=2, inner_of=InnerOf(flow, stage, fence)
        )
        return answer.accepted, answer.lost

    assert submit(old.fence) == (False, False)
    new = entered(ledger, "r/0", "0", "b:1:1#1", takeover="a:1:1#1")
    assert submit(new.fence) == (False, False)
    assert submit(old.fence) == (False, True)
    assert submit(new.fence, name="r/0:1") == (False, True)
    assert submit(new.fence, name="r/00:0") == (False, True)
    assert submit(new.fence, name="j") == (False, True)
    assert submit(new.fence, stage="1", name="r/0:1") == (False, True)
    assert submit(new.fence, flow="x/0", name="x/0:0") == (False, True)
    run_inner(ledger, job)
    ledger.advance(done("r/0", "0", new), step("1"))
    assert submit(new.fence) == (False, True)
    assert job_or_none(ledger, job) is None


def test_the_end_of_an_inner_job_wakes_its_flow(ledger: Ledger, client: redis.Redis) -> None:
    """Wherever it ends: a dispatcher is told at once, and rings for the flow."""
    begun(ledger, "r", 2)
    claim = entered(ledger, "r/0", "0")
    job = inner(ledger, "r/0", "0", claim)
    assert ledger.leave(InnerOf("r/0", "0", claim.fence), waits=True) is Leave.LEFT
    client.zadd("penstock:open", {">r/0": 0})
    assert [ring.flow for ring in ledger.reap(ReapTerms(backoff_s=0)) if ring.flow] == []
    listening = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    listening.subscribe(ledger.keys.dispatch_channel)
    listening.get_message(timeout=5)

    run_inner(ledger, job)

    assert listening.get_message(timeout=5) is not None
    assert [ring.batch_id for ring in ledger.dispatch(DispatchTerms()).batches] == [">r/0"]
    assert ledger.reap(ReapTerms()) == []
    assert entered(ledger, "r/0", "0").losses == 0
    listening.close()


def test_who_holds_the_flow_hears_of_the_end_by_itself(ledger: Ledger) -> None:
    """It looks before it lets go, so that nobody has to wake it."""
    begun(ledger, "r", 2)
    claim = entered(ledger, "r/0", "0")
    of = InnerOf("r/0", "0", claim.fence)
    job = inner(ledger, "r/0", "0", claim)
    run_inner(ledger, job)

    assert ledger.dispatch(DispatchTerms()).batches == []
    assert ledger.leave(of, waits=True) is Leave.READY
    assert ledger.renew(">r/0", fence=claim.fence, lease_s=30) is Commit.OK
    assert ledger.advance(done("r/0", "0", claim), step("1")).state is Advance.OK


def test_a_lost_holder_s_inner_job_goes_on(ledger: Ledger) -> None:
    """Whoever runs its batch; the flow is rung for when the job has ended and the lease is over."""
    begun(ledger, "r", 2)
    claim = entered(ledger, "r/0", "0", lease_s=0)
    job = inner(ledger, "r/0", "0", claim)
    run_inner(ledger, job)

    (ring,) = ledger.dispatch(DispatchTerms()).batches
    assert (ring.flow, ring.stage) == ("r/0", "0")


def test_B3_inner_calls_pass_the_bounds_and_are_counted(ledger: Ledger, client: redis.Redis) -> None:
    """What a run needs to go on must not be refused because runs wait."""
    narrow = Ledger(client, Keys(), bounds=Bounds(calls=3))
    begun(narrow, "r", 3)
    claim = entered(narrow, "r/0", "0")
    job = inner(narrow, "r/0", "0", claim, 3)
    assert pending(ledger)[0] == 6
    run_inner(narrow, job, 3)
    assert pending(ledger)[0] == 3
    ledger.advance(done("r/0", "0", claim, records=records(range(3))), None)

    assert pending(ledger) == (0, 0)


@pytest.mark.parametrize("concurrency", [None, 1])
def test_B1_inner_calls_may_wait_in_buffers(ledger: Ledger, concurrency: int | None) -> None:
    """Of several flows together, under the tool's keys and limits; each flow hears of its own."""
    for run in ("r", "s"):
        begun(ledger, run, 1)
        claim = entered(ledger, f"{run}/0", "0")
        limits = (DeclaredLimit(key="k", concurrency=concurrency),) if concurrency else ()
        accepted = ledger.enqueue(
            header(f"{run}/0:0"),
            [BufferedCall(calls(0, 1)[0])],
            [Buffer(key="k", max_size=2, limits=limits)],
            base=0,
            total=1,
            inner_of=InnerOf(f"{run}/0", "0", claim.fence),
        )
        assert accepted.accepted
        assert ledger.leave(InnerOf(f"{run}/0", "0", claim.fence), waits=True) is Leave.LEFT
    (batch,) = ledger.dispatch(DispatchTerms()).batches
    formed = granted(ledger, batch.batch_id)
    ledger.commit(batch.batch_id, [GOOD, GOOD], fence=formed.fence, position=0, lease_s=30)

    assert {ring.flow for ring in ledger.dispatch(DispatchTerms()).batches} == {"r/0", "s/0"}
    assert pending(ledger)[0] == 2


def test_B2_an_operators_limit_sends_inner_calls_into_buffers(ledger: Ledger) -> None:
    """Submit says so, as for calls of anybody."""
    ledger.change_limit("tenant:t", LimitChange(concurrency=1))
    begun(ledger, "r", 2)
    claim = entered(ledger, "r/0", "0")

    answer = ledger.submit(
        header("r/0:0"), calls(0, 2), base=0, total=2, inner_of=InnerOf("r/0", "0", claim.fence)
    )

    assert (answer.accepted, answer.limited, answer.lost) == (False, True, False)


def test_E2_an_inner_call_that_is_tried_again_keeps_its_flow_waiting(ledger: Ledger) -> None:
    """It waits in a buffer, and its flow is not rung for meanwhile."""
    begun(ledger, "r", 1)
    claim = entered(ledger, "r/0", "0")
    job = inner(ledger, "r/0", "0", claim, 1)
    batch = granted(ledger, f"{job}.0")
    again = b"0 1\n" + header(job).to_json() + b'\n["{}",""]'
    ledger.commit(
        f"{job}.0",
        [(RecordKind.RETRY, again)],
        fence=batch.fence,
        position=0,
        lease_s=30,
        cost_field=f"{'d' * 64}:text.stats",
    )
    assert ledger.leave(InnerOf("r/0", "0", claim.fence), waits=True) is Leave.LEFT

    found = [b for _ in range(3) for b in ledger.dispatch(DispatchTerms()).batches]
    while not found:
        found = ledger.dispatch(DispatchTerms()).batches
    (tried,) = found
    formed = granted(ledger, tried.batch_id)
    ledger.commit(tried.batch_id, [GOOD], fence=formed.fence, position=0, lease_s=30)

    assert [ring.flow for ring in ledger.dispatch(DispatchTerms()).batches] == ["r/0"]
    assert ledger.results(job, [0]) == [GOOD[1]]


def test_several_inner_jobs_of_one_stage(ledger: Ledger, client: redis.Redis) -> None:
    """One after another, where a stage is run a call at a time; all of them go with it."""
    begun(ledger, "r", 1)
    claim = entered(ledger, "r/0", "0")
    jobs = [inner_job("r/0", "0", name) for name in ("2", "3")]
    for job in jobs:
        ledger.submit(header(job), calls(0, 1), base=0, total=1, inner_of=InnerOf("r/0", "0", claim.fence))
        run_inner(ledger, job, 1)
    assert entered(ledger, "r/0", "0").inner == tuple(jobs)
    ledger.advance(done("r/0", "0", entered(ledger, "r/0", "0")), step("1"))

    assert client.keys("*:0-*") == []


def test_J3_a_dead_letter_of_an_inner_call_outlives_its_job(ledger: Ledger, client: redis.Redis) -> None:
    """Its id says run, flow, stage and index; its large params are kept with the run."""
    begun(ledger, "r", 1)
    claim = entered(ledger, "r/0", "0")
    job = inner(ledger, "r/0", "0", claim, 1)
    client.hset(ledger.keys.values(job), "digest:0", "large")
    for loss in range(4):
        ledger.claim(f"{job}.0", terms(f"h{loss}", takeover=f"h{loss - 1}"))
    ledger.advance(done("r/0", "0", claim, records=records([0])), None)

    letters = DeadLetters(client, ledger.keys)
    letter = letters.get("r/0:0.0")
    assert (letter.job_id, letter.index, letter.attempts) == ("r/0:0", 0, 3)
    # Who asks for the letters of a run does not know the ids of its stages' jobs.
    assert letters.page(LetterFilter(job="r"))[0] == letters.page(LetterFilter(job="r/0:0"))[0] == [letter]
    assert letters.page(LetterFilter(job="r/0"))[0] == []
    assert client.hget("penstock:j:r:v", "digest:0") == b"large"
    assert client.pttl("penstock:j:r:v") > 0


def test_an_inner_job_that_somebody_cancels_wakes_its_flow(ledger: Ledger) -> None:
    """The operator's commands know it by its id."""
    begun(ledger, "r", 2)
    claim = entered(ledger, "r/0", "0")
    job = inner(ledger, "r/0", "0", claim)
    ledger.leave(InnerOf("r/0", "0", claim.fence), waits=True)

    assert ledger.cancel(job)
    assert ledger.job(job).state is JobState.CANCELLED
    assert [ring.flow for ring in ledger.dispatch(DispatchTerms()).batches] == ["r/0"]
    assert ledger.claim(f"{job}.0", terms()).state is ClaimState.GONE
    assert pending(ledger)[0] == 2


def test_bundles_of_a_run_that_goes_on_are_referred_to(ledger: Ledger, client: redis.Redis) -> None:
    """By the plan, whether or not a call of theirs is under way."""
    begun(ledger, "r", 1)
    wanted = ["d" * 64, "e" * 64, "f" * 64]

    assert find_references(client, ledger.keys, wanted).jobs == {"d" * 64: ["r"], "e" * 64: ["r"]}
    claim = entered(ledger, "r/0", "0")
    ledger.advance(done("r/0", "0", claim, records=records([0])), None)
    assert find_references(client, ledger.keys, wanted).jobs == {}
