"""The files of `penstock map`: the input is never one of them."""

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
