"""The credit watch: used credit that no request explains, for long enough, is a stall."""

from __future__ import annotations

from pathlib import Path

from penstock_workers.watchdog import STALL_S, CreditWatch, Pulse


def test_credit_that_requests_explain_is_no_stall() -> None:
    """However long it lasts."""
    watch = CreditWatch()

    assert not any(watch.stalled(2, 2, now=float(t)) for t in range(100))


def test_leaked_credit_is_a_stall_after_a_while_and_not_before() -> None:
    """A delivery that is on its way from the channel to the request is not a leak."""
    watch = CreditWatch()

    assert not watch.stalled(1, 0, now=0.0)
    assert not watch.stalled(1, 0, now=STALL_S - 0.1)
    assert watch.stalled(1, 0, now=STALL_S)


def test_a_moment_of_agreement_starts_the_count_anew() -> None:
    """Only what lasts counts."""
    watch = CreditWatch()
    watch.stalled(1, 0, now=0.0)
    watch.stalled(1, 1, now=STALL_S - 1)

    assert not watch.stalled(1, 0, now=STALL_S)


def test_a_beat_touches_the_heartbeat_file(tmp_path: Path) -> None:
    """Probes look at the file only."""
    file = tmp_path / "beat"

    Pulse(file).beat()

    assert file.exists()
