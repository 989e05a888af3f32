"""Chunks are as large as the measured cost allows."""

from __future__ import annotations

import pytest

from penstock_scheduler.chunking import FIRST_CALLS, MAX_CALLS, TARGET_S, UNMEASURED_CALLS, ChunkSizer


def test_an_unmeasured_tool_starts_small_and_doubles_up_to_a_bound() -> None:
    """Nobody knows yet whether a call takes a microsecond or a minute."""
    sizer = ChunkSizer()
    sizes = []

    for _ in range(6):
        sizes.append(sizer.calls)
        sizer.sent(None)

    assert sizes == [FIRST_CALLS, 16, 32, UNMEASURED_CALLS, UNMEASURED_CALLS, UNMEASURED_CALLS]


@pytest.mark.parametrize(
    ("cost_us", "calls"),
    [(0.0, MAX_CALLS), (10.0, MAX_CALLS), (500.0, 200), (50_000.0, 2), (75_000.0, 1), (60_000_000.0, 1)],
)
def test_a_measured_tool_gets_chunks_of_the_target_size(cost_us: float, calls: int) -> None:
    """One call at least, the cap at most, and in between about the target's work."""
    sizer = ChunkSizer()

    sizer.sent(cost_us)

    assert sizer.calls == calls


def test_the_work_of_a_chunk_stays_between_50_and_100_ms_where_the_caps_allow() -> None:
    """The target itself lies in what was asked for."""
    assert 0.05 <= TARGET_S <= 0.1


def test_a_cost_that_is_not_known_any_more_does_not_forget_the_last_one() -> None:
    """Costs may be dropped by an operator while a map runs."""
    sizer = ChunkSizer()
    sizer.sent(75_000.0)

    sizer.sent(None)

    assert sizer.calls == 1
