"""Data has a bound on how deep it is, which leaves room for what is around it when it travels."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from penstock_plugins.nesting import MAX_NESTING, nests_deeper, nests_too_deep


def nested(levels: int, *, innermost: Any = 1, tables: bool = False) -> Any:
    """So many lists inside each other; with `tables` every other one is a table."""
    value = innermost
    for level in range(levels):
        value = {"in": value, "beside": []} if tables and level % 2 else [value]
    return value


@pytest.mark.parametrize("tables", [False, True])
@pytest.mark.parametrize("wide", [0, 1000])
def test_the_bound_is_exact(tables: bool, wide: int) -> None:
    """Whatever the levels are made of, and however much else there is."""
    fits = [nested(MAX_NESTING - 1, tables=tables), *[{"n": 1}] * wide]

    assert not nests_too_deep(fits)
    assert nests_too_deep([fits])
    assert nests_too_deep(nested(5000, tables=tables))


@pytest.mark.parametrize("innermost", [1, "[[[", None, [], {}])
def test_a_walk_counts_lists_and_tables(innermost: Any) -> None:
    """Also empty ones, and tuples; texts are no lists."""
    levels = 7 + isinstance(innermost, list | dict)

    assert not nests_deeper(nested(7, innermost=innermost), levels)
    assert nests_deeper((nested(7, innermost=innermost),), levels)


def test_what_is_as_deep_as_it_may_be_can_be_written_with_a_lot_around_it() -> None:
    """An item in sixteen fan-outs, each with its trace in the other's, has 60 levels around its data."""
    assert orjson.dumps(nested(MAX_NESTING + 120))
