"""JSON Lines in and out of `penstock map`: the rows it sends and the results it writes.

The input is read twice, once to check it before anything is sent and once to send it, so that a mistake in
row 90,000 costs nothing. The output can be taken up again where an interrupted run left it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import orjson
import typer

from penstock_plugins.errors import ParamsError
from penstock_plugins.result import ToolResult

#: Standard input or output.
STANDARD = Path("-")
#: Bad rows that are named before we say how many more there are.
_NAMED = 3
#: Results are handed to the operating system at least this often, in lines.
_FLUSH_EVERY = 256


class InputRows:
    """The rows of a JSON Lines file; blank lines count for nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Rows found by `check`. None: not known, since standard input can be read only once.
        self.count: int | None = None

    @property
    def name(self) -> str:
        """What to call the input in a message."""
        return "standard input" if self.path == STANDARD else str(self.path)

    def check(self, problem: Callable[[dict[str, Any]], str | None] = lambda row: None) -> None:
        """Read it all once and find every bad row.

        Args:
            problem: says what is wrong with a row, or None.

        Raises:
            typer.BadParameter: the file cannot be read, or rows are bad; names the first ones by line.
        """
        if self.path == STANDARD:
            return
        bad: list[str] = []
        more = count = 0

        def note(text: str) -> None:
            nonlocal more
            if len(bad) < _NAMED:
                bad.append(text)
            else:
                more += 1

        for number, row in self._numbered(note):
            count += 1
            if (text := problem(row)) is not None:
                note(f"line {number}: {text}")
        if bad:
            rest = f" (and {more} more)" if more else ""
            raise typer.BadParameter(f"{self.name}: nothing was sent. {'; '.join(bad)}{rest}")
        self.count = count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, row in self._numbered(self._refuse):
            yield row

    def _numbered(self, on_bad: Callable[[str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
        stream = sys.stdin.buffer if self.path == STANDARD else self._open()
        with stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    row = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    on_bad(f"line {number}: not JSON, {_why(error)}")
                    continue
                if isinstance(row, dict):
                    yield number, row
                else:
                    on_bad(f"line {number}: not a JSON object")

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise typer.BadParameter(f"{self.path}: {error.strerror}") from error

    def _refuse(self, problem: str) -> None:
        raise ParamsError(f"{self.name}: {problem}")


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
        folder = self.path.parent
        if self.path == STANDARD:
            return
        if self.path.is_dir():
            raise typer.BadParameter(f"{self.path} is a folder: name a file")
        if not folder.is_dir():
            raise typer.BadParameter(f"{folder}: no such folder")
        if not os.access(self.path if self.path.exists() else folder, os.W_OK):
            raise typer.BadParameter(f"{self.path} cannot be written")

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


def _why(error: orjson.JSONDecodeError) -> str:
    """What is wrong with a line; the parser's own `line 1` would confuse."""
    return f"{error.msg.partition(':')[0]} (column {error.colno})"
