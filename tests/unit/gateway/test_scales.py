"""Axes of the demo's plots."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.demo.web.scales import linear, logarithmic, plain, seconds

POSITIVE = st.floats(1e-6, 1e9)


def test_ticks_are_round_numbers() -> None:
    """1, 2 or 5 times a power of ten, up to above what there is."""
    assert linear(73, start=0, end=100, ticks=4).ticks == (0, 20, 40, 60, 80)
    assert linear(0.46, start=0, end=100, exact=True).ticks == (0, 0.1, 0.2, 0.3, 0.4)
    assert logarithmic(3, 400, start=0, end=100).ticks == (2, 5, 10, 20, 50, 100, 200, 500)
    assert logarithmic(2, 15_711, start=0, end=100).ticks == (10, 100, 1000, 10_000)
    assert logarithmic(3, 400, start=0, end=100, decades=True).ticks == (1, 10, 100, 1000)


@given(POSITIVE, POSITIVE, st.booleans())
def test_values_lie_within_their_axis(one: float, other: float, decades: bool) -> None:
    """In order, the least not before its beginning and the largest not after its end; ticks too."""
    low, high = sorted((one, other))
    for scale in (
        logarithmic(low, high, start=10, end=90, decades=decades),
        linear(high, start=10, end=90, exact=decades),
    ):
        places = [scale(low), scale(high)]
        assert 10 - 1e-6 <= places[0] <= places[1] <= 90 + 1e-6
        assert scale.low <= low * (1 + 1e-6)
        assert high <= scale.high * (1 + 1e-6)
        assert len(scale.ticks) >= 2
        assert list(scale.ticks) == sorted(set(scale.ticks))
        assert scale.low * (1 - 1e-6) <= scale.ticks[0]
        assert scale.ticks[-1] <= scale.high * (1 + 1e-6)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0 s"), (9.5e-5, "95 µs"), (1e-3, "1 ms"), (0.0283, "28.3 ms"), (1.0, "1 s"), (1000.0, "1,000 s")],
)
def test_durations_have_the_unit_that_suits_them(value: float, said: str) -> None:
    """Down to microseconds."""
    assert seconds(value) == said


def test_large_numbers_are_short() -> None:
    """There is little room on an axis."""
    assert [plain(value) for value in (0.5, 20, 3000, 20_000)] == ["0.5", "20", "3,000", "20k"]
