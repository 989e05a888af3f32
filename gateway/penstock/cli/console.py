"""How the command line speaks: results on stdout, everything else on stderr; colour on terminals only."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

#: Styles by what they mean.
GOOD, BAD, WARN, QUIET, NAME, NUMBER = "green", "bold red", "yellow", "dim", "bold cyan", "bold"


@cache
def out() -> Console:
    """Standard output: what was asked for."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


@cache
def err() -> Console:
    """Standard error: progress, notes and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def safe(text: str) -> str:
    """The text without characters that would command a terminal; a guest may have written it."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def say_error(text: str) -> None:
    """An error: one or two lines."""
    first, _, rest = safe(text).partition("\n")
    err().print(Text.assemble(("Error: ", BAD), first))
    if rest:
        err().print(Text(rest, style=QUIET))


def say_note(text: str) -> None:
    """Something beside the result."""
    err().print(Text(text, style=QUIET))


def print_json(value: Any) -> None:
    """A value for scripts: one line."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")


def print_value(value: Any) -> None:
    """A value for people: a text as it is, everything else as indented JSON."""
    if isinstance(value, str):
        out().print(Text(safe(value) if out().is_terminal else value))
        return
    text = Text(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
    if out().is_terminal:
        JSONHighlighter().highlight(text)
    out().print(text)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str | Text]], *, right: Sequence[str] = ()
) -> None:
    """A table for people; in a pipe, the same as lines of tab-separated fields.

    Args:
        columns: the headings.
        rows: the cells.
        right: headings of the columns that hold numbers.
    """
    if not out().is_terminal:
        for row in (columns, *rows):
            sys.stdout.write(
                "\t".join(str(cell).replace("\t", " ").replace("\n", " ") for cell in row) + "\n"
            )
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style=QUIET)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    out().print(table)
