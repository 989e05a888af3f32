"""The results that `penstock map` writes: JSON Lines, in the order in which they come.

They can be taken up again where an interrupted run left them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import orjson
import typer

from penstock.cli.rows import STANDARD
from penstock_plugins.result import ToolResult

#: Results are handed to the operating system at least this often, in lines.
_FLUSH_EVERY = 256


class ResultFiles:
    """OUT.jsonl with one result a line, in the order in which they came; OUT.failed.jsonl with failures."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed_path = None if path == STANDARD else failed_path(path)
        self.succeeded = 0
        self.failed = 0
        self._written = bytearray()
        self._out: BinaryIO | None = None
        self._failures: BinaryIO | None = None

    @property
    def count(self) -> int:
        """Results written, those of earlier runs included."""
        return self.succeeded + self.failed

    def check(self) -> None:
        """See that the files can be written, without touching them.

        Raises:
            typer.BadParameter: they cannot be.
        """
        if self.path != STANDARD:
            check_writable(self.path)

    def keep_clear_of(self, rows: Path) -> None:
        """See that no file is the input.

        Raises:
            typer.BadParameter: writing the results would destroy the rows.
        """
        for path in (self.path, self.failed_path):
            if path is not None and path.exists() and rows.exists() and path.samefile(rows):
                raise typer.BadParameter(
                    f"{path} is the input, and would be overwritten: name another output"
                )

    def check_belong_to(self, job_id: str) -> None:
        """See that what is there has been written for a job, whose results are to follow.

        Raises:
            typer.BadParameter: another run has written there since.
        """
        if self.path == STANDARD or not self.path.is_file():
            return
        with self.path.open("rb") as file:
            line = file.readline()
        try:
            other = str(orjson.loads(line)["call_id"]).rpartition(".")[0]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return  # torn, and will be cut off
        if other != job_id:
            raise typer.BadParameter(
                f"{self.path} has results of job {other} by now: name another file by --output"
            )

    def open(self, *, resume: bool) -> None:
        """Open the files: empty, or with what an interrupted run wrote."""
        if self.failed_path is None:
            self._out = sys.stdout.buffer
            return
        self._failures = self.failed_path.open("wb")
        if resume and self.path.exists():
            self._out = self.path.open("r+b")
            self._take_up(self._out)
        else:
            self._out = self.path.open("wb")

    def write(self, result: ToolResult) -> bool:
        """Write one result; False when it was there from an earlier run."""
        if self._out is None:
            raise RuntimeError("open the files first")
        if not self._mark(result.index or 0):
            return False
        line = result.to_json() + b"\n"
        self._out.write(line)
        if result.success:
            self.succeeded += 1
        else:
            self.failed += 1
            if self._failures is not None:
                self._failures.write(line)
        if self.count % _FLUSH_EVERY == 0:
            self.flush()
        return True

    def flush(self) -> None:
        """Hand everything to the operating system."""
        for stream in (self._out, self._failures):
            if stream is not None:
                stream.flush()

    def close(self) -> None:
        """Close the files; one without failures goes."""
        self.flush()
        if self.failed_path is None:
            return
        for stream in (self._out, self._failures):
            if stream is not None:
                stream.close()
        if self._failures is not None and self.failed == 0:
            self.failed_path.unlink(missing_ok=True)

    def __enter__(self) -> ResultFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_up(self, stream: BinaryIO) -> None:
        """Learn what is there, and cut off a line that the interruption tore."""
        whole = 0
        for line in stream:
            try:
                result = orjson.loads(line) if line.endswith(b"\n") else None
                index, success = (result["index"], result["success"]) if result else (None, False)
            except (orjson.JSONDecodeError, KeyError, TypeError):
                index = None
            if not isinstance(index, int) or not self._mark(index):
                break
            whole += len(line)
            if success:
                self.succeeded += 1
            else:
                self.failed += 1
                if self._failures is not None:
                    self._failures.write(line)
        stream.seek(whole)
        stream.truncate()

    def _mark(self, index: int) -> bool:
        """Remember an index, a bit for each; False when it was known."""
        byte, bit = index >> 3, 1 << (index & 7)
        if byte >= len(self._written):
            self._written.extend(bytes(byte + 1 - len(self._written)))
        if self._written[byte] & bit:
            return False
        self._written[byte] |= bit
        return True


def failed_path(path: Path) -> Path:
    """`out.failed.jsonl` for `out.jsonl`."""
    stem = path.name.removesuffix(".jsonl")
    return path.with_name(f"{stem}.failed.jsonl")


def check_writable(path: Path) -> None:
    """See that a file can be written, without touching it.

    Raises:
        typer.BadParameter: it cannot be.
    """
    folder = path.parent
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder: name a file")
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder}: no such folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise typer.BadParameter(f"{path} cannot be written")
