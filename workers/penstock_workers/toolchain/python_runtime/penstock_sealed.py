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
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn, TextIO, cast

#: Audit events of what reaches for the operating system.
_OUTSIDE = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "pathlib.")
#: What no audit event tells of.
_UNTOLD = ("stat", "lstat", "access", "urandom", "getrandom")
_CLOCKS = (
    *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"),
    *("process_time", "process_time_ns", "thread_time", "thread_time_ns"),
)
#: What says the present time unless it is given another, and the position of that one.
_OF_NOW = {"localtime": 0, "gmtime": 0, "ctime": 0, "asctime": 0, "strftime": 1}


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
    _let_logging_go_without_a_clock()
    for clock in _CLOCKS:
        setattr(time, clock, _no_clock)
    for name, position in _OF_NOW.items():
        setattr(time, name, _of_a_given_time(getattr(time, name), position))
    _draw_nothing()
    builtins.open = io.open = cast("Any", _no_files)
    builtins.input = cast("Any", _no_input)
    sys.stdin = io.StringIO()
    sys.stdout, sys.stderr = cast("TextIO", _Lines(say)), cast("TextIO", _Lines(warn))


def end_lines() -> None:
    """A call is over: what it printed last is a line, whether it ends with a newline or not."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, _Lines):
            stream.end_line()


def _let_logging_go_without_a_clock() -> None:
    """Packages log: a record without a time is better than none. `time` is still as it was here."""
    if logging := sys.modules.get("logging"):
        whole = {name: getattr(time, name) for name in ("localtime", "gmtime", "strftime")}
        cast("Any", logging).time = SimpleNamespace(time=lambda: 0.0, time_ns=lambda: 0, **whole)


def _draw_nothing() -> None:
    """What `random` took from the operating system for itself, and what begins with entropy."""
    if random := cast("Any", sys.modules.get("random")):
        random._urandom = _nothing  # noqa: SLF001 -- the name under which it keeps it
        seed = random.Random.seed
        random.Random.seed = lambda self, a=None, version=2: (
            _nothing() if a is None else seed(self, a, version)
        )
        random.seed = random._inst.seed  # noqa: SLF001 -- as the module itself does


def _of_a_given_time(function: Callable[..., object], position: int) -> Callable[..., object]:
    def given(*arguments: object) -> object:
        if len(arguments) <= position or arguments[position] is None:
            _no_clock()
        return function(*arguments)

    return given


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
