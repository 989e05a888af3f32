"""Where log lines of guests go."""

from __future__ import annotations

import logging
from pathlib import Path

import orjson
import pytest

from penstock_workers.log_sink import FileSink, LoggerSink


def test_logger_gets_level_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    """Python's logging sees a guest's level as its own."""
    caplog.set_level(logging.DEBUG)

    LoggerSink().write(level="warn", plugin="text", message="100% odd %s")

    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "text: 100% odd %s")
    assert record.__dict__["plugin"] == "text"


def test_file_gets_one_line_of_json_for_each(tmp_path: Path) -> None:
    """Several processes append to the same file."""
    path = tmp_path / "guest.log"
    first, second = FileSink(path), FileSink(path)

    first.write(level="info", plugin="text", message="one")
    second.write(level="info", plugin="text", message="zwö")

    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["message"] for line in lines] == ["one", "zwö"]
    assert path.stat().st_mode & 0o077 == 0
