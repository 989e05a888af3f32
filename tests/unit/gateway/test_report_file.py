"""Where a report may be written."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from penstock.cli.report_file import ReportFile
from penstock.demo.web.document import document
from tests.support.demo_reports import report_of


def test_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    """And a new or empty file becomes one."""
    file = ReportFile(tmp_path / "r.html")
    for _ in range(2):
        file.check(beside=tmp_path / "r.jsonl")
        file.write(document(report_of(3), []))

    (tmp_path / "empty.html").touch()
    ReportFile(tmp_path / "empty.html").check(beside=tmp_path / "r.jsonl")


def test_a_file_of_anybody_else_is_not(tmp_path: Path) -> None:
    """Not even when it is a page."""
    path = tmp_path / "thesis.html"
    path.write_text("<!doctype html><title>Ten years of work</title>")

    with pytest.raises(typer.BadParameter, match=r"no report of `penstock demo`.*--report"):
        ReportFile(path).check(beside=tmp_path / "r.jsonl")

    assert "Ten years" in path.read_text()


def test_paths_that_cannot_be_are_refused_in_words(tmp_path: Path) -> None:
    """Before anything starts."""
    results = tmp_path / "r.jsonl"
    for path, why in {
        tmp_path: "is a folder",
        tmp_path / "none" / "r.html": "no such folder",
        Path("-"): "name a file",
        tmp_path / "." / "r.jsonl": "file of the results",
        Path("/dev/null"): "no report of",
    }.items():
        with pytest.raises(typer.BadParameter, match=why):
            ReportFile(path).check(beside=results)
