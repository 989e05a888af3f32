"""How long jobs, results, keys and large params stay, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Buffer,
    BufferedCall,
    CallEntry,
    DispatchTerms,
    JobState,
    ReapTerms,
    Retention,
)
from tests.integration.ledger_model.virtual_time import EXPIRIES, VirtualLedger
from tests.support.ledger_values import BAD, GOOD, calls, granted, header

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
IDEM = ("key", "digest")


@pytest.fixture
def ledger(client: redis.Redis) -> VirtualLedger:
    """A ledger by a clock of its own, with the retention that is the default."""
    return VirtualLedger(client, retention=Retention())


def finish(ledger: VirtualLedger, job: str, base: int = 0, record: Any = GOOD) -> None:
    """Runs the one call of a batch."""
    held = granted(ledger, f"{job}.{base}", f"w:1:1#{job}{base}")
    ledger.commit(f"{job}.{base}", [record], fence=held.fence, position=0, lease_s=30)


def keyed(ledger: VirtualLedger, job: str) -> str:
    """Submits under the key; the job that answers."""
    return ledger.submit(
        header(job), calls(0, 1), base=0, total=1, single=True, idempotency=IDEM
    ).job_id  # fmt: skip


@pytest.mark.parametrize(("record", "kept_ms"), [(GOOD, DAY_MS), (BAD, 7 * DAY_MS)])
def test_I8_E6_a_key_lives_as_long_as_its_result(ledger: VirtualLedger, record: Any, kept_ms: int) -> None:
    """While somebody can read it, the first job answers; afterwards the call is a new one."""
    keyed(ledger, "first")
    finish(ledger, "first", record=record)

    ledger.let_pass(kept_ms - 1000)
    again = keyed(ledger, "second")
    ledger.let_pass(1001)
    anew = keyed(ledger, "third")

    assert (again, anew) == ("first", "third")


def test_I8_a_key_lives_as_long_as_its_job_goes_on(ledger: VirtualLedger) -> None:
    """However long that is."""
    keyed(ledger, "first")
    ledger.let_pass(30 * DAY_MS)

    assert keyed(ledger, "second") == "first"


def test_J1_a_map_that_is_fed_does_not_end(ledger: VirtualLedger) -> None:
    """Its input is slow: it is weeks old, and at times all of it has ended."""
    ledger.open_job("m", tool="text.stats", digest="d" * 64, tenant="t", queue="penstock.default")
    for base in range(4):
        assert ledger.submit(header("m"), calls(base, 1), base=base).accepted
        finish(ledger, "m", base)
        ledger.let_pass(5 * DAY_MS)
        ledger.reap(ReapTerms())
    fed = ledger.job("m").state
    ledger.let_pass(3 * DAY_MS)
    ledger.reap(ReapTerms())

    assert (fed, ledger.job("m").state) == (JobState.RUNNING, JobState.FAILED)


def test_I11_a_job_is_listed_as_long_as_its_record_is_there(
    ledger: VirtualLedger, client: redis.Redis
) -> None:
    """Also one that took longer than results are kept; and no longer."""
    ledger.submit(header("j"), calls(0, 1), base=0, total=1)
    ledger.let_pass(8 * DAY_MS)
    finish(ledger, "j")
    ledger.reap(ReapTerms())
    listed = [job.id for job in ledger.jobs()]
    ledger.let_pass(7 * DAY_MS + 1)
    ledger.reap(ReapTerms())

    assert listed == ["j"]
    assert client.zcard(Keys().jobs) == 0


def test_I11_jobs_that_go_on_for_long_do_not_keep_the_others_in_the_list(
    ledger: VirtualLedger, client: redis.Redis
) -> None:
    """Many calls are delayed for months."""
    for number in range(150):
        late = [BufferedCall(CallEntry(0, "{}"))]
        ledger.enqueue(header(f"late{number}"), late, [Buffer()], base=0, total=1, delay_s=90 * 86_400)
    for number in range(30):
        ledger.submit(header(f"j{number}"), calls(0, 1), base=0, total=1)
        finish(ledger, f"j{number}")
    ledger.let_pass(8 * DAY_MS)
    for _ in range(300):
        # The clock is where each look begins.
        ledger.let_pass(1)
        ledger.reap(ReapTerms())

    assert client.zcard(Keys().jobs) == 150


def test_B4_large_params_are_there_when_a_delayed_call_runs(
    ledger: VirtualLedger, client: redis.Redis
) -> None:
    """They stay for two weeks beyond its delay, and beyond its deadline."""
    client.hset(Keys().values("a"), "x:0", "1")
    client.hset(Keys().values("b"), "x:0", "1")
    month = [BufferedCall(CallEntry(0, "{}"))]

    ledger.enqueue(header("a"), month, [Buffer()], base=0, total=1, delay_s=30 * 86_400)
    ledger.submit(header("b"), calls(0, 1), base=0, total=1, deadline_s=40 * 86_400)

    left = [int(float(client.hget(EXPIRIES, Keys().values(job)) or 0)) - ledger.now_ms for job in "ab"]
    assert [round(ms / DAY_MS) for ms in left] == [44, 54]


def test_I11_no_deadline_outlives_its_job(ledger: VirtualLedger, client: redis.Redis) -> None:
    """Calls that waited, and were in time, leave nothing behind until then."""
    shape = Buffer(key="k", max_size=5)
    for number in range(5):
        one = [BufferedCall(CallEntry(0, "{}"))]
        ledger.enqueue(header(f"j{number}"), one, [shape], base=0, total=1, deadline_s=1e6)
    (batch,) = ledger.dispatch(DispatchTerms()).batches
    held = granted(ledger, batch.batch_id)
    ledger.commit(batch.batch_id, [GOOD] * 5, fence=held.fence, position=0, lease_s=30)

    assert client.zcard(f"{Keys().prefix}late") == 0


def test_I1_a_far_deadline_can_be_read(ledger: VirtualLedger) -> None:
    """By who looks at the job, and by who claims its calls."""
    ledger.submit(header("j"), calls(0, 1), base=0, total=1, deadline_s=1e12)
    ledger.open_job("m", tool="t.t", digest="d", tenant="t", queue="q", deadline_s=1e12)

    assert granted(ledger, "j.0").deadline_ms == ledger.job("j").deadline_ms
    assert (ledger.job("m").deadline_ms or 0) > 10**15
