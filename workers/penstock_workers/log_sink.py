"""Where the log lines of guests go, beside the result of their call."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Protocol

import orjson

#: Guests' levels, and Python's.
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class LogSink(Protocol):
    """Takes the log lines of guests. It must be quick: the call waits for it."""

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Take one line: a level of `LEVELS`, the plugin's name, and a message without control characters."""
        ...


class LoggerSink:
    """Passes lines on to Python's logging, as logger `penstock.guest`."""

    def __init__(self, name: str = "penstock.guest") -> None:
        self._logger = logging.getLogger(name)
        # A program that configures no logging sees the lines with the results, and not twice.
        self._logger.addHandler(logging.NullHandler())

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Log the line."""
        self._logger.log(
            LEVELS.get(level, logging.INFO),
            "%s: %s",
            plugin,
            message,
            extra={"action": "guest.log", "plugin": plugin},
        )


class FileSink:
    """Appends lines to a file as JSON. Processes may share it: a line is one write."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Append `{"level", "plugin", "message"}`."""
        line = {"level": level, "plugin": plugin, "message": message}
        os.write(self._fd, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
