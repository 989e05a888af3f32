"""The files of `penstock map`: the input is never one of them, and no other job's results are."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from penstock.cli.result_files import ResultFiles


@pytest.mark.parametrize("rows", ["out.jsonl", "out.failed.jsonl", "link.jsonl"])
def test_an_output_that_is_the_input_is_refused(tmp_path: Path, rows: str) -> None:
    """By its own name, as the file of failures, and through a link."""
    (tmp_path / "out.jsonl").write_text("{}\n")
    (tmp_path / "out.failed.jsonl").write_text("{}\n")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "out.jsonl")

    with pytest.raises(typer.BadParameter, match="would be overwritten"):
        ResultFiles(tmp_path / "out.jsonl").keep_clear_of(tmp_path / rows)


def test_another_file_beside_it_is_fine(tmp_path: Path) -> None:
    """Also where the output is not there yet."""
    (tmp_path / "rows.jsonl").write_text("{}\n")

    ResultFiles(tmp_path / "out.jsonl").keep_clear_of(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("there", [None, "", "torn", '{"call_id": "j1.7", "index": 7}\n'])
def test_what_a_job_has_written_is_gone_on_with(tmp_path: Path, there: str | None) -> None:
    """Be it nothing yet, or half a line."""
    if there is not None:
        (tmp_path / "out.jsonl").write_text(there)

    ResultFiles(tmp_path / "out.jsonl").check_belong_to("j1")


def test_what_another_job_has_written_since_is_not_taken_for_its_results(tmp_path: Path) -> None:
    """Rows have the same numbers in all jobs."""
    (tmp_path / "out.jsonl").write_text('{"call_id": "j2.0", "index": 0, "success": true}\n')

    with pytest.raises(typer.BadParameter, match=r"has results of job j2 by now: name another file by --out"):
        ResultFiles(tmp_path / "out.jsonl").check_belong_to("j1")
