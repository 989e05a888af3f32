"""Errors become one or two lines and an exit code, in one place."""

from __future__ import annotations

import errno
from typing import NoReturn

import kombu.exceptions
import pytest
import redis
import typer

from penstock.cli.exits import exit_code_of, explain
from penstock.cli.session import Session
from penstock_plugins.errors import (
    AlreadyRunningError,
    ConfigurationError,
    JobNotFoundError,
    ParamsError,
    PenstockError,
    ToolNotFoundError,
    ToolTimeoutError,
    UnreachableError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ToolTimeoutError("slow"), 1),
        (ToolNotFoundError("Unknown tool: x"), 2),
        (ParamsError("bad"), 2),
        (ConfigurationError("bad"), 2),
        (JobNotFoundError("none"), 2),
        (AlreadyRunningError("twice"), 2),
        (typer.BadParameter("bad"), 2),
        (FileNotFoundError(2, "No such file or directory", "rows.jsonl"), 2),
        (UnreachableError(""), 3),
        (redis.ConnectionError("refused"), 3),
        (redis.TimeoutError("slow"), 3),
        (kombu.exceptions.OperationalError("refused"), 3),
        (ValueError("what"), 1),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: int) -> None:
    """I-7, and never more than two lines."""
    text, found = explain(error)

    assert found == code
    assert 1 <= len(text.splitlines()) <= 2


def test_a_missing_extra_says_what_to_install() -> None:
    """A producer's install has no wasmtime."""
    text, code = explain(ModuleNotFoundError("No module named 'wasmtime'", name="wasmtime"))

    assert code == 2
    assert "pip install 'penstock[worker]'" in text


def test_a_missing_file_is_named() -> None:
    """Not as a tuple of an errno and a text."""
    text, _ = explain(FileNotFoundError(2, "No such file or directory", "rows.jsonl"))

    assert text == "rows.jsonl: No such file or directory"


def test_a_full_disk_is_no_bug() -> None:
    """A write to an open file does not say which one it is."""
    text, code = explain(OSError(errno.ENOSPC, "No space left on device"))

    assert (text, code) == ("The output cannot be written: No space left on device", 1)


def fail(error: BaseException) -> NoReturn:
    """A command that fails."""
    raise error


def test_an_error_is_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stdout, no traceback."""
    code = exit_code_of(lambda: fail(PenstockError("It is broken")), Session())

    written = capsys.readouterr()
    assert code == 1
    assert written.out == ""
    assert written.err == "Error: It is broken\n"


def test_debug_lets_the_error_through() -> None:
    """Its traceback is what was asked for."""
    with pytest.raises(PenstockError):
        exit_code_of(lambda: fail(PenstockError("It is broken")), Session(debug=True))


def test_ctrl_c_is_130() -> None:
    """As shells have it."""
    assert exit_code_of(lambda: fail(KeyboardInterrupt()), Session()) == 130


def test_what_a_command_returns_is_the_exit_code() -> None:
    """None is fine as well."""
    assert exit_code_of(lambda: 1, Session()) == 1
    assert exit_code_of(lambda: None, Session()) == 0


def test_what_a_guest_wrote_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences are shown, not obeyed."""
    exit_code_of(lambda: fail(PenstockError("\x1b]0;owned\x07")), Session())

    assert "\x1b" not in capsys.readouterr().err
