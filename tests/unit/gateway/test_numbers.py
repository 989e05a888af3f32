"""The demo's results in numbers that can be drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.demo.numbers import Spread, in_decades, in_ranges, rate, spread


def test_a_spread_names_values_that_there_are() -> None:
    """By nearest rank, so that a percentile is always the value of some call."""
    assert spread(range(100, 0, -1)) == Spread(count=100, p50=50, p90=90, p99=99, most=100)
    assert spread([7.0]) == Spread(count=1, p50=7, p90=7, p99=7, most=7)
    assert spread([]) is None


def test_ranges_reach_to_their_ends() -> None:
    """A range of one number is named by it."""
    assert in_ranges([1, 1, 2, 3, 10, 11, 500], (1, 2, 10)) == [
        ("1", 2),
        ("2", 1),
        ("3\N{EN DASH}10", 2),
        ("11+", 2),
    ]


def test_decades_are_cut_into_equal_steps() -> None:
    """Whatever is outside is in the first or the last."""
    assert in_decades([0.5, 1, 9.9, 10, 99, 100, 5000], low=1, high=100, per_decade=1) == [3, 4]
    assert in_decades([1, 3.1, 3.2], low=1, high=10, per_decade=2) == [2, 1]


def test_a_rate_has_few_steps_when_there_are_few_calls() -> None:
    """One of three calls at least says something; none at all has no rate."""
    assert rate([0.1, 0.2, 0.3, 0.8, 0.9, 1.0]).per_second == (6.0, 6.0)
    assert rate([2.0]).per_second == (0.5,)
    assert rate([]).per_second == ()
    assert rate([0.0]).per_second == ()


@given(st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=400))
def test_a_rate_counts_every_call(ended_s: list[float]) -> None:
    """Rate times length of a step gives them all, and the steps reach to the last."""
    found = rate(ended_s)

    assert sum(found.per_second) * found.step_s == pytest.approx(len(ended_s))
    assert found.step_s * len(found.per_second) == pytest.approx(max(ended_s))
