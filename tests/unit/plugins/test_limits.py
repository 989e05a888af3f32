"""Limits: a later layer only narrows."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.limits import Limits

LIMITS = st.builds(
    Limits,
    timeout_s=st.floats(0.001, 1000),
    fuel=st.none() | st.integers(1, 2**53),
    memory_bytes=st.integers(1, 2**32),
    memories=st.integers(1, 100),
    tables=st.integers(1, 100),
    instances=st.integers(1, 100),
    table_elements=st.integers(1, 10**7),
    output_bytes=st.integers(1, 2**26),
    log_lines=st.integers(0, 10**5),
    log_bytes=st.integers(0, 2**24),
    params_bytes=st.integers(1, 2**26),
)


@given(mine=LIMITS, theirs=LIMITS)
def test_S2_no_field_of_two_layers_is_wider_than_in_either(mine: Limits, theirs: Limits) -> None:
    """Each field is the smaller one; without fuel there is no metering, which is the wider."""
    both = mine.narrowed(theirs)

    for field in fields(Limits):
        values = [getattr(mine, field.name), getattr(theirs, field.name)]
        given_values = [value for value in values if value is not None]
        assert getattr(both, field.name) == (min(given_values) if given_values else None)


@given(mine=LIMITS, theirs=LIMITS)
def test_S2_the_order_of_the_layers_does_not_matter(mine: Limits, theirs: Limits) -> None:
    """Narrowing is commutative, and narrowing again changes nothing."""
    both = mine.narrowed(theirs)

    assert both == theirs.narrowed(mine)
    assert both == both.narrowed(mine) == both.narrowed(theirs)


def test_E1_a_call_has_limits_although_nobody_set_any() -> None:
    """30 seconds, and a bound on everything but fuel, which is not metered by default."""
    limits = Limits()

    assert limits.timeout_s == 30.0
    assert [field.name for field in fields(Limits) if getattr(limits, field.name) is None] == ["fuel"]
    assert limits.narrowed(replace(limits, fuel=10)).fuel == 10
