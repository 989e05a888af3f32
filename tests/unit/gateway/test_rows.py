"""The rows that `penstock map` sends."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from penstock.cli.rows import InputRows


def test_rows_are_counted_and_blank_lines_are_not(tmp_path: Path) -> None:
    """The check reads all of it; the second reading gives the rows."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n\n{"a": 2}\n')
    rows = InputRows(file)

    rows.check()

    assert rows.count == 2
    assert list(rows) == [{"a": 1}, {"a": 2}]


def test_bad_rows_are_named_by_line_before_anything_is_sent(tmp_path: Path) -> None:
    """The first three by name, the rest by number."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n{\n[1]\n{"a": -1}\n{\n{\n')
    rows = InputRows(file)

    with pytest.raises(typer.BadParameter) as refusal:
        rows.check(lambda row: "$.a: too small" if row["a"] < 0 else None)

    text = str(refusal.value.message)
    assert "nothing was sent. line 2: not JSON" in text
    assert "line 3: not a JSON object; line 4: $.a: too small (and 2 more)" in text


def test_a_missing_input_is_a_usage_error(tmp_path: Path) -> None:
    """It is named, and nothing else happens."""
    with pytest.raises(typer.BadParameter, match="No such file"):
        InputRows(tmp_path / "none.jsonl").check()
