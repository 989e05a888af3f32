"""Which changes between two runs are called regressions."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.case import Figures
from benchmarks.compare import compare, report
from benchmarks.results import Machine, Measured, Results


def machine(python: str = "3.11.7") -> Machine:
    """Some machine."""
    return Machine(
        cores=2,
        processor="slow",
        memory_gb=4,
        system="Linux 6",
        python=python,
        redis="7.0.15",
        packages={"celery": "5.7.0"},
    )


def results(figures: Figures, *, size: int = 100, python: str = "3.11.7") -> Results:
    """One case `things` with these figures."""
    measured = Measured(size=size, took_s=1.0, at="2026-01-01 00:00", load_before=0.1, figures=figures)
    return Results(machine=machine(python), cases={"things": measured})


@pytest.mark.parametrize(
    ("figure", "old", "new", "regressed"),
    [
        ("Penstock, calls/s", 1000.0, 880.0, True),
        ("Penstock, calls/s", 1000.0, 920.0, False),
        ("Penstock, calls/s", 1000.0, 2000.0, False),
        ("round trip, ms", 3.0, 3.4, True),
        ("round trip, ms", 3.0, 1.0, False),
        ("times as fast as Celery", 20.0, 15.0, True),
        ("times as long as Celery", 1.2, 1.0, False),
        ("times as long as Celery", 1.0, 1.2, True),
        ("share of the rate in process", 0.5, 0.4, True),
        ("stops, ms", 0.0, 1.0, True),
        ("stops, ms", 0.0, 0.0, False),
    ],
)
def test_a_figure_regresses_when_it_is_a_tenth_worse_in_its_own_direction(
    figure: str, old: float, new: float, regressed: bool
) -> None:
    """Rates and ratios of speed are better when they are higher, times and sizes when they are lower."""
    comparison = compare(results({figure: old}), results({figure: new}))

    assert bool(comparison.regressions) is regressed


@pytest.mark.parametrize(("new", "regressed"), [(0.4, False), (11.0, True)])
def test_a_percentage_is_compared_by_its_points(new: float, regressed: bool) -> None:
    """A drift that grew from nothing to next to nothing is no regression."""
    comparison = compare(results({"drift, %": 0.1}), results({"drift, %": new}))

    assert bool(comparison.regressions) is regressed


def test_points_of_curves_are_not_compared() -> None:
    """They are drawn; what they amount to has a figure of its own."""
    comparison = compare(results({"worker, MB @ 1000": 10.0}), results({"worker, MB @ 1000": 99.0}))

    assert comparison.changes == ()


def test_the_report_names_the_worst_first_and_counts() -> None:
    """A person reads it from the top."""
    old = results({"a, ms": 1.0, "b, ms": 1.0, "c, calls/s": 10.0, "d, ms": 1.0})
    new = results({"a, ms": 1.5, "b, ms": 3.0, "c, calls/s": 20.0})

    text = report(compare(old, new))

    assert text.index("b, ms") < text.index("a, ms") < text.index("c, calls/s")
    assert "gone    things: d, ms" in text
    assert text.endswith("2 of 3 figures are worse by more than 10 %.")


def test_another_machine_and_another_size_are_said() -> None:
    """Both make absolute figures incomparable."""
    comparison = compare(results({"a, ms": 1.0}), results({"a, ms": 1.0}, size=5, python="3.13.0"))

    assert ["different machines" in comparison.caveats[0], "things: 100" in comparison.caveats[1]] == [
        True
    ] * 2


@pytest.mark.parametrize(("new_ms", "status"), [(1.0, 0), (2.0, 1)])
def test_the_command_exits_with_1_when_something_regressed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], new_ms: float, status: int
) -> None:
    """So that a script notices."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(results({"a, ms": 1.0}).to_json())
    new.write_text(results({"a, ms": new_ms}).to_json())

    assert main(["compare", str(old), str(new)]) == status
    assert "figures are worse" in capsys.readouterr().out


def test_the_command_exits_with_2_on_files_that_are_no_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says which file, and no traceback."""
    path = tmp_path / "old.json"
    path.write_text('{"things": 1}')

    assert main(["compare", str(path), str(tmp_path / "none.json")]) == 2
    assert str(path) in capsys.readouterr().err
