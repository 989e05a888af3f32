"""Makes what there is not inside of a component fail in words.

Without WASI every file, import and clock of the operating system is a trap, which ends the call and says
nothing. CPython opens files where nobody expects it: to quote the line of a syntax error, or for a traceback.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter
from types import ModuleType
from typing import Any, NoReturn, TextIO, cast

#: Audit events of what reaches for the operating system.
_OUTSIDE = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "pathlib.")
#: What no audit event tells of.
_UNTOLD = ("stat", "lstat", "access", "urandom", "getrandom")
_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")


def seal(say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """From now on nothing outside is reached for. Called once in each instance, before anything else.

    Args:
        say: gets the lines that are printed.
        warn: gets those that are printed to stderr.
    """
    sys.addaudithook(_refuse)
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, _NothingElse()]
    for name in _UNTOLD:
        setattr(os, name, _nothing)
    for clock in _CLOCKS:
        setattr(time, clock, _no_clock)
    builtins.open = io.open = cast("Any", _no_files)
    builtins.input = cast("Any", _no_input)
    sys.stdout, sys.stderr = cast("TextIO", _Lines(say)), cast("TextIO", _Lines(warn))


def end_lines() -> None:
    """A call is over: what it printed last is a line, whether it ends with a newline or not."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _Lines):
            stream.end_line()


class _NothingElse:
    """Stands where modules would be looked for in files."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> NoReturn:
        raise ModuleNotFoundError(
            f"{name!r} was not imported when the plugin was built: import it at the top of a module",
            name=name,
        )


class _Lines(io.TextIOBase):
    """Where `print` goes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._say(_sayable(line))
        return len(text)

    def end_line(self) -> None:
        line, self._begun = self._begun, ""
        if line:
            self._say(_sayable(line))


def _sayable(line: str) -> str:
    """The line with half characters replaced: they are no UTF-8."""
    return line.encode(errors="replace").decode()


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith(_OUTSIDE):
        raise PermissionError(f"There is nothing outside of a component: {event}")


def _nothing(*_: object, **__: object) -> NoReturn:
    raise PermissionError("There is no operating system inside of a component")


def _no_files(*_: object, **__: object) -> NoReturn:
    raise PermissionError("There are no files inside of a component")


def _no_input(*_: object) -> NoReturn:
    raise EOFError("There is no input inside of a component")


def _no_clock(*_: object) -> NoReturn:
    raise PermissionError("There is no clock inside of a component")
