"""Chunks are as large as the measured cost allows."""

from __future__ import annotations

import pytest

from penstock_scheduler.chunking import (
    FIRST_CALLS,
    OF_CALLS,
    OF_ITEMS,
    TARGET_S,
    UNMEASURED_CALLS,
    ChunkBounds,
    ChunkSizer,
)

both = pytest.mark.parametrize("bounds", [OF_CALLS, OF_ITEMS], ids=["calls", "items"])


@both
def test_an_unmeasured_tool_starts_small_and_doubles_up_to_a_bound(bounds: ChunkBounds) -> None:
    """Nobody knows yet whether a call takes a microsecond or a minute."""
    sizer = ChunkSizer(bounds)
    sizes = []

    for _ in range(6):
        sizes.append(sizer.count)
        sizer.sent(sizer.count, None)

    assert sizes == [FIRST_CALLS, 16, 32, UNMEASURED_CALLS, UNMEASURED_CALLS, UNMEASURED_CALLS]


@both
@pytest.mark.parametrize(
    ("cost_us", "count"), [(500.0, 200), (50_000.0, 2), (75_000.0, 1), (60_000_000.0, 1)]
)
def test_a_measured_tool_gets_chunks_of_the_target_size(
    bounds: ChunkBounds, cost_us: float, count: int
) -> None:
    """One call at least, and about the target's work."""
    sizer = ChunkSizer(bounds)

    sizer.sent(1, cost_us)

    assert sizer.count == count


@both
@pytest.mark.parametrize("cost_us", [0.0, 10.0])
def test_what_costs_next_to_nothing_is_capped(bounds: ChunkBounds, cost_us: float) -> None:
    """By how many there are, not by their work."""
    sizer = ChunkSizer(bounds)

    sizer.sent(1, cost_us)

    assert sizer.count == bounds.count


def test_the_work_of_a_chunk_stays_between_50_and_100_ms_where_the_caps_allow() -> None:
    """However many calls a map has; the target itself lies in what was asked for."""
    sizer = ChunkSizer(OF_CALLS)
    sizer.sent(1_000_000, 1000.0)

    assert 0.05 <= TARGET_S <= 0.1
    assert sizer.count == TARGET_S * 1000


def test_chunks_of_a_long_run_grow_up_to_twice_as_much() -> None:
    """When there are enough of them for everybody: none is more than an eighth of all before it."""
    sizer, sent, sizes = ChunkSizer(OF_ITEMS), 0, []

    for _ in range(40):
        count = sizer.count
        assert count <= max(100, sent // 8)
        sent += count
        sizes.append(count)
        sizer.sent(count, 1000.0)

    assert sizes[:9] == [FIRST_CALLS, *[100] * 8]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 2 * TARGET_S * 1000


def test_a_cost_that_is_not_known_any_more_does_not_forget_the_last_one() -> None:
    """Costs may be dropped by an operator while a map runs."""
    sizer = ChunkSizer()
    sizer.sent(8, 75_000.0)

    sizer.sent(1, None)

    assert sizer.count == 1
