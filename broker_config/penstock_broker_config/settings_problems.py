"""What is wrong with a setting, in words: its name, what to write, and where it was given (G-1)."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from penstock_plugins.errors import ConfigurationError

#: Variables of ours that are no settings.
OTHER_VARIABLES = frozenset({"PENSTOCK_DEBUG"})

#: Names the variable that could not be read, in what pydantic-settings says.
_VARIABLE = re.compile(r'field "(\w+)" from source "EnvSettingsSource"')


def refuse_unknown_variables(settings: Iterable[str]) -> None:
    """A misspelt variable is an error: it would otherwise attach to another system without a word.

    Args:
        settings: the names that there are.

    Raises:
        ConfigurationError: a variable begins as ours do, and is none; names what may have been meant.
    """
    known = {f"PENSTOCK_{name}".upper() for name in settings} | OTHER_VARIABLES
    for name in sorted(os.environ):
        if name.startswith("PENSTOCK_") and name.partition("__")[0] not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigurationError(f"{name}: unknown setting (from environment){hint}")


def problem(item: Any, given: Container[str], files: Iterable[Path]) -> str:
    """One of pydantic's errors.

    Args:
        item: the error.
        given: names of settings that are arguments.
        files: that give settings, the strongest first.
    """
    path = [str(part) for part in item["loc"]]
    message = str(item["msg"]).removeprefix("Value error, ")
    what = "unknown setting" if item["type"] == "extra_forbidden" else message
    return f"{'.'.join(path)}: {what} (from {source_of(path, given, files)})"


def source_of(path: Sequence[str], given: Container[str], files: Iterable[Path]) -> str:
    """Where a setting comes from: an argument, a variable or a file.

    Args:
        path: its name, and those of the tables inside.
        given: names of settings that are arguments.
        files: that give settings, the strongest first.
    """
    if path[0] in given:
        return "argument"
    for length in range(1, len(path) + 1):
        name = "__".join(("PENSTOCK_" + path[0], *path[1:length])).upper()
        if name in {variable.upper() for variable in os.environ}:
            return f"environment {name}"
    return next((str(file) for file in files if _says(_read(file), path)), "default")


def unreadable(error: ValueError, files: Iterable[Path]) -> str:
    """Why the sources could not even be read: a file that is no TOML, or a variable that is no JSON."""
    for file in files:
        try:
            _read(file)
        except ValueError as wrong:
            return f"{file} cannot be read: {wrong}"
    if (found := _VARIABLE.search(str(error))) is not None:
        name = f"PENSTOCK_{found[1].upper()}"
        return f'{found[1]}: write it as JSON, such as {name}=\'["log", "env"]\' (from environment {name})'
    return f"The settings cannot be read: {error}"


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError:
        return {}


def _says(table: object, path: Sequence[str]) -> bool:
    """Whether a file has what is at this path; what is wrong may be an item of it that has no name."""
    for part in path:
        if not isinstance(table, dict):
            return True
        if part not in table:
            return False
        table = table[part]
    return True
