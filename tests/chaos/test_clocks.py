"""A worker whose clock is ten minutes off does what the others do: time is Redis's (B-4)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from penstock_broker_config.keys import Keys
from penstock_scheduler import Producer
from tests.chaos.cast import cast
from tests.chaos.verdict import Verdict, judge_limits, read_recorded
from tests.chaos.witness import executions, lines_of
from tests.support.clocks import skewed
from tests.support.waiting import wait_until

SKEW_S = 600
CALLS = 24


@pytest.mark.parametrize("offset_s", [SKEW_S, -SKEW_S])
def test_B4_a_clock_that_is_ten_minutes_off_changes_nothing(offset_s: int, tmp_path: Path) -> None:
    """Deadlines, delays, batches, limits and leases: on a skewed worker beside one with the right time."""
    skew = {"w2": skewed(offset_s)}
    # Nobody is hurt: a lease that a busy machine keeps, and that is short beside the skew.
    lease = {"PENSTOCK_LEASE_S": "30"}
    with (
        cast(
            tmp_path, processes=1, schedulers=1, networks=False, environments=skew, settings=lease
        ) as on_stage,
        Producer.connect(on_stage.broker.url) as producer,
    ):
        jobs = {}
        for n in range(CALLS):
            params = {"n": n, "key": "k", "ms": 30}
            match n % 4:
                case 0:
                    jobs[n] = producer.submit("witness.limited", params)
                case 1:
                    jobs[n] = producer.submit("witness.run", params, deadline_s=60, eta_s=0.2)
                case 2:
                    jobs[n] = producer.submit("witness.keyed", params, deadline_s=60)
                case _:
                    jobs[n] = producer.submit("witness.run", params, deadline_s=60)

        def both_ran() -> bool:
            if {line["who"] for line in lines_of(on_stage.witness_file)} >= {"w1", "w2"}:
                return True
            n = 4 * len(jobs) + 1  # none of those that wait for a limit
            jobs[n] = producer.submit("witness.run", {"n": n, "ms": 30})
            return False

        # On a busy machine one of them may have been quicker each time.
        wait_until(both_ran, 60, "both workers run calls")
        results = {n: job.result(wait_s=60) for n, job in jobs.items()}
        with on_stage.broker.redis.client() as client:
            wrong = [text for job in jobs.values() for text in read_recorded(client, job.id)[1]]
            left = client.zcard(Keys().open)

    verdict = Verdict()
    judge_limits(verdict, on_stage.witness_file, [], is_limited=lambda n: n % 4 == 0, overlap_s=0.0)
    ahead_s = {line["who"]: line["clock"] - time.time() for line in lines_of(on_stage.witness_file)}
    assert [n for n, result in results.items() if not result.success] == []
    assert set(executions(on_stage.witness_file).values()) == {1}
    assert ahead_s["w2"] - ahead_s["w1"] == pytest.approx(offset_s, abs=SKEW_S / 2), "the clock was not off"
    assert (wrong, left, verdict.problems) == ([], 0, [])
    queued_ms = [result.metadata.queued_ms or 0 for result in results.values()]
    assert max(queued_ms) < SKEW_S * 1000 / 2
