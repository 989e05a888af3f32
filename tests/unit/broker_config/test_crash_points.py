"""What the scheduler's README says of scripts and crash points is all there is."""

from __future__ import annotations

import re
from pathlib import Path

from penstock_broker_config.crash import CRASH_POINTS

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "broker_config/penstock_broker_config/ledger/scripts"
#: What scripts share; nobody runs these by themselves.
LIBRARIES = {"batches", "buffers", "flows", "jobs", "limits"}
#: Who comes to a point; whoever puts a value aside, and whoever collects.
WHO = "producer|worker|scheduler|operator|value|collector"


def _first_cells() -> list[str]:
    text = (ROOT / "scheduler/README.md").read_text()
    return [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]


def test_each_crash_point_has_its_row_and_no_other_has_one() -> None:
    """Who notices, and what happens."""
    named = re.findall(rf"`((?:{WHO})\.[a-z_]+)`", " ".join(_first_cells()))

    assert sorted(named) == sorted(CRASH_POINTS)


def test_each_script_has_its_row() -> None:
    """Who asks, and which keys it touches."""
    named = set(re.findall(r"`([a-z_]+)`", " ".join(_first_cells())))

    assert {file.stem for file in SCRIPTS.glob("*.lua")} - LIBRARIES - named == set()


def test_each_crash_point_is_reached_somewhere() -> None:
    """No point is a name only."""
    packages = ("broker_config", "scheduler", "workers", "gateway")
    code = "".join(file.read_text() for package in packages for file in (ROOT / package).rglob("*.py"))

    assert [point for point in CRASH_POINTS if f'reach("{point}")' not in code] == []
