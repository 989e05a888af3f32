"""Countdowns, job ids, Redis's clock, progress: small values that much stands on."""

from __future__ import annotations

import pytest

from penstock_broker_config.ledger import JobState
from penstock_plugins.errors import ConfigurationError
from penstock_scheduler.countdown import Countdown
from penstock_scheduler.jobids import new_job_id
from penstock_scheduler.progress import Progress
from penstock_scheduler.storeclock import GOOD_FOR_S, StoreClock
from tests.unit.scheduler.wires import job_record


class TestCountdown:
    """How much of a wait is left."""

    def test_it_gives_slices_until_it_is_over(self) -> None:
        """The last one is what is left."""
        now = [100.0]
        countdown = Countdown(7, clock=lambda: now[0])

        assert countdown.slice_s(5) == 5
        now[0] = 105.0
        assert countdown.slice_s(5) == 2
        assert not countdown.over
        now[0] = 108.0
        assert countdown.slice_s(5) == 0
        assert countdown.over

    def test_without_an_end_it_is_never_over(self) -> None:
        """None waits for ever."""
        countdown = Countdown(None, clock=lambda: 1e12)

        assert countdown.slice_s(5) == 5
        assert not countdown.over

    @pytest.mark.parametrize("wait_s", [-1, float("nan")])
    def test_what_is_no_wait_is_refused(self, wait_s: float) -> None:
        """Before anything is asked."""
        with pytest.raises(ConfigurationError, match="wait_s"):
            Countdown(wait_s)


class TestJobIds:
    """Ids of jobs."""

    def test_later_jobs_sort_behind_earlier_ones(self) -> None:
        """Also across many years."""
        moments = [1, 1_000, 1_800_000_000_000, 4_000_000_000_000]

        ids = [new_job_id(now_ms=moment) for moment in moments]

        assert sorted(ids) == ids

    def test_ids_are_plain_words_that_differ(self) -> None:
        """They stand in Redis keys, in batch ids before a dot, and in shells."""
        ids = {new_job_id(now_ms=5) for _ in range(1000)}

        assert len(ids) == 1000
        assert all(len(job_id) == 20 and job_id.isalnum() for job_id in ids)


class TestStoreClock:
    """Redis's time, reckoned."""

    def test_it_goes_on_between_answers_and_wants_a_new_one_in_time(self) -> None:
        """By this process's monotonic clock."""
        now = [50.0]
        clock = StoreClock(clock=lambda: now[0])

        assert clock.now_ms() is None
        assert clock.set((1000, 250_000)) == 1_000_250
        now[0] += 2.5
        assert clock.now_ms() == 1_002_750
        now[0] += GOOD_FOR_S
        assert clock.now_ms() is None


class TestProgress:
    """What a record says about progress."""

    def test_a_running_job_counts_what_ended(self) -> None:
        """Successes, failures, and what a deadline ended."""
        progress = Progress.from_record(job_record(accepted=10, done=3, failed=2, expired=1))

        assert (progress.done, progress.failed, progress.unrun, progress.finished) == (3, 2, 1, 6)
        assert progress.total is None

    def test_a_cancelled_job_has_ended_all_that_it_accepted(self) -> None:
        """What was not recorded was not run to its end."""
        record = job_record(state=JobState.CANCELLED, accepted=10, done=3, failed=2)

        progress = Progress.from_record(record)

        assert (progress.unrun, progress.finished) == (5, 10)
