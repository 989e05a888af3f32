"""Numbers as people read them."""

from __future__ import annotations

import pytest

from penstock.cli.words import counted, seconds_of, size, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.00042, "0.4 ms"),
        (0.0034, "3 ms"),
        (0.25, "0.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (185, "3:05"),
        (3723, "1:02:03"),
        (300_000, "3 days"),
    ],
)
def test_a_duration_is_short(seconds: float, text: str) -> None:
    """Two digits say enough."""
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12 MB"), (5e12, "5000 GB")],
)
def test_a_size_has_its_unit(count: float, text: str) -> None:
    """Units of a thousand, as file managers show them."""
    assert size(count) == text


def test_one_is_singular() -> None:
    """Nobody reads `1 calls`."""
    assert [counted(n, "call") for n in (0, 1, 1200)] == ["0 calls", "1 call", "1,200 calls"]
    assert counted(2, "child", "children") == "2 children"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("15m", 900.0),
        ("1.5h", 5400.0),
        ("3d", 259_200.0),
        ("soon", None),
        ("3", None),
        ("-2h", None),
    ],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float | None) -> None:
    """A number and a unit, and nothing else."""
    assert seconds_of(text) == seconds
