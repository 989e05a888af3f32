"""The rows that `penstock map` sends: JSON Lines, a params object each.

They are read twice, once to check them before anything is sent and once to send them, so that a mistake in
row 90,000 costs nothing.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import typer

from penstock_plugins.errors import ParamsError

#: Standard input or output.
STANDARD = Path("-")
#: Bad rows that are named before we say how many more there are.
_NAMED = 3


class InputRows:
    """The rows of a JSON Lines file; blank lines count for nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Rows found by `check`. None: not known, since standard input can be read only once.
        self.count: int | None = None
        #: Of the file, as `check` read it. Empty: not known.
        self.sha256 = ""

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
        mark = hashlib.sha256()

        def note(text: str) -> None:
            nonlocal more
            if len(bad) < _NAMED:
                bad.append(text)
            else:
                more += 1

        for number, row in self._numbered(note, mark.update):
            count += 1
            if (text := problem(row)) is not None:
                note(f"line {number}: {text}")
        if bad:
            rest = f" (and {more} more)" if more else ""
            raise typer.BadParameter(f"{self.name}: nothing was sent. {'; '.join(bad)}{rest}")
        self.count, self.sha256 = count, mark.hexdigest()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, row in self._numbered(self._refuse):
            yield row

    def _numbered(
        self, on_bad: Callable[[str], None], on_line: Callable[[bytes], None] = lambda line: None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        stream = sys.stdin.buffer if self.path == STANDARD else self._open()
        with stream:
            for number, line in enumerate(stream, start=1):
                on_line(line)
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


def _why(error: orjson.JSONDecodeError) -> str:
    """What is wrong with a line; the parser's own `line 1` would confuse."""
    return f"{error.msg.partition(':')[0]} (column {error.colno})"
