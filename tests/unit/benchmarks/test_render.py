"""What BENCHMARKS.md says of results."""

from __future__ import annotations

from benchmarks.case import EVERY_SECOND, Case, Figures, Goal, point, points
from benchmarks.cases import CASES
from benchmarks.render import render
from benchmarks.results import Machine, Measured, Results


def things(_: int) -> Figures:
    """How fast things are."""
    return {}


MACHINE = Machine(
    cores=2,
    processor="slow",
    memory_gb=4,
    system="Linux 6",
    python="3.11.7",
    redis="7.0.15",
    packages={"celery": "5.7.0"},
)
FAST = Goal(part=2, text="things are fast", figure="things, calls/s", at_least=100)
SMALL = Goal(part=1, text="things are small", figure="things, MB", at_most=5)
CASE = Case(run=things, full=10, quick=1, goals=(FAST, SMALL), durability=EVERY_SECOND)


def document(figures: Figures, *, by_hand: str = "", size: int = 10) -> str:
    """BENCHMARKS.md for one case with these figures."""
    measured = Measured(size=size, took_s=1.4, at="2026-01-01 00:00", load_before=0.25, figures=figures)
    results = Results(machine=MACHINE, cases={"things": measured})
    return render(
        results, {"things": CASE}, charts={"things": ["benchmarks/charts/things.svg"]}, by_hand=by_hand
    )


def test_each_goal_is_reached_or_not_or_was_not_measured() -> None:
    """Nobody has to compare numbers by hand."""
    lines = document({"things, calls/s": 99.0}).splitlines()

    small, fast = [line for line in lines if line.startswith("|") and "things are" in line]
    assert small.startswith("| 1 | not measured |")
    assert fast.startswith("| 2 | **not reached** |")
    assert "| reached | things are small |" in document({"things, MB": 5.0})


def test_a_case_has_its_command_its_size_its_durability_and_its_charts() -> None:
    """So that anybody can measure the same."""
    text = document({"things, calls/s": 1234.5})

    assert "How fast things are." in text
    assert "`python -m benchmarks things`" in text
    assert f"Redis: {EVERY_SECOND}" in text
    assert "| things, calls/s | 1,234 |" in text
    assert "![things](benchmarks/charts/things.svg)" in text


def test_a_quick_run_is_called_one() -> None:
    """Its figures are not to be quoted."""
    assert "A quick run" in document({}, size=1)
    assert "A quick run" not in document({})


def test_the_machine_and_its_versions_are_said() -> None:
    """Figures mean nothing without."""
    text = document({})

    assert "2 cores, slow, 4 GB, Linux 6" in text
    assert "7.0.15" in text
    assert "celery 5.7.0" in text


def test_points_of_curves_are_drawn_and_not_listed() -> None:
    """A table of a hundred points says nothing."""
    text = document({point("things, MB", 1000): 3.0})

    assert "@" not in text


def test_points_come_back_in_the_order_of_x() -> None:
    """Curves are drawn from left to right."""
    figures = {point("a", 2000): 2.0, point("a", 1_000_000): 3.0, point("a", 100): 1.0, point("b", 1): 9.0}

    assert points(figures, "a") == [(100.0, 1.0), (2000.0, 2.0), (1_000_000.0, 3.0)]


def test_what_was_written_by_hand_comes_last() -> None:
    """They explain the figures above them."""
    text = document({"things, MB": 1.0}, by_hand="## Profiles\n\nMost of it is JSON.\n")

    assert text.endswith("## Profiles\n\nMost of it is JSON.\n")


def test_every_case_says_what_it_measures() -> None:
    """The first line of a case's docstring is its paragraph in the document."""
    assert [name for name, case in CASES.items() if not case.about] == []
