"""The results that `penstock map` writes."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
import typer

from penstock.cli.result_files import ResultFiles, failed_path
from penstock_plugins.errors import ErrorCode
from penstock_plugins.result import ToolFailure, ToolResult


def result(index: int, *, success: bool = True) -> ToolResult:
    """A result as a job gives it."""
    error = None if success else ToolFailure(code=ErrorCode.TRAP, message="unreachable")
    return ToolResult(call_id=f"j.{index}", tool="t.t", success=success, error=error, index=index)


def indexes(path: Path) -> list[int]:
    """What a results file holds."""
    return [orjson.loads(line)["index"] for line in path.read_bytes().splitlines()]


def test_results_are_written_as_they_come_and_failures_twice(tmp_path: Path) -> None:
    """OUT has every result, OUT.failed only the failures."""
    out = tmp_path / "out.jsonl"
    files = ResultFiles(out)

    files.open(resume=False)
    with files:
        files.write(result(1))
        files.write(result(0, success=False))

    assert indexes(out) == [1, 0]
    assert indexes(tmp_path / "out.failed.jsonl") == [0]
    assert (files.succeeded, files.failed) == (1, 1)


def test_no_failures_file_stays_without_failures(tmp_path: Path) -> None:
    """An empty one would make people look into it."""
    files = ResultFiles(tmp_path / "out.jsonl")

    files.open(resume=False)
    with files:
        files.write(result(0))

    assert not (tmp_path / "out.failed.jsonl").exists()


def test_an_interrupted_output_is_taken_up_where_it_was_torn(tmp_path: Path) -> None:
    """Each result is there once, the torn line is written anew, and the failures file is whole again."""
    out = tmp_path / "out.jsonl"
    files = ResultFiles(out)
    files.open(resume=False)
    with files:
        files.write(result(0))
        files.write(result(2, success=False))
    out.write_bytes(out.read_bytes() + b'{"call_id": "j.1", "to')
    failed_path(out).unlink()

    again = ResultFiles(out)
    again.open(resume=True)
    with again:
        fresh = [again.write(result(i, success=i != 2)) for i in (0, 1, 2)]

    assert fresh == [False, True, False]
    assert indexes(out) == [0, 2, 1]
    assert indexes(failed_path(out)) == [2]
    assert (again.succeeded, again.failed, again.count) == (2, 1, 3)


def test_an_output_that_cannot_be_written_is_refused_early(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(typer.BadParameter, match="no such folder"):
        ResultFiles(tmp_path / "nowhere" / "out.jsonl").check()
    with pytest.raises(typer.BadParameter, match="is a folder"):
        ResultFiles(tmp_path).check()


@pytest.mark.parametrize(
    ("name", "expected"), [("out.jsonl", "out.failed.jsonl"), ("out.txt", "out.txt.failed.jsonl")]
)
def test_the_failures_file_stands_beside_the_output(name: str, expected: str) -> None:
    """Its name says whose failures it has."""
    assert failed_path(Path("folder") / name) == Path("folder") / expected
