"""Conditions in CEL (L-4), by the library that is written in Rust. It is given what is named, and no more."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from threading import Lock
from typing import Any, Protocol, cast

from penstock_plugins.pipelines.expressions_cel_given import Given
from penstock_plugins.pipelines.expressions_cel_source import read_source
from penstock_plugins.pipelines.expressions_paths import MissingPathError, Path, is_missing, spelled
from penstock_plugins.printable import printable

#: In words of ours: the library's hold values.
_WHY = {
    "TypeError": "its values do not go together: CEL does not convert, as int(…), double(…) and string(…) do",
    "ZeroDivisionError": "it divides by zero",
    "OverflowError": "a number is too large",
}


#: A `size` of ours, by a name that no expression may have.
_SIZE = "_size"


class Condition:
    """One expression, compiled.

    Args:
        text: it.

    Raises:
        ValueError: it is none, or could cost too much.
    """

    __slots__ = ("_by_chars", "_execute", "_given", "_is_wide", "certain", "paths")

    def __init__(self, text: str) -> None:
        source = read_source(text)
        try:
            self._execute = _library().compile(text).execute
        except ValueError as error:
            raise ValueError(f"it is no CEL: {_first_problem(error)}") from None
        # The library counts the bytes of a text, and the specification its characters.
        self._by_chars = _library().compile(_by_chars(text, source.sizes)).execute if source.sizes else None
        #: Whether it has a text of its own that may not be ASCII.
        self._is_wide = not text.isascii() or "\\" in text
        #: Every way from a root that it names.
        self.paths: tuple[Path, ...] = (*source.paths, *source.sized, *source.looped)
        #: Those of them that must lead somewhere. None, where it may not come to look.
        self.certain: tuple[Path, ...] = () if source.chooses else self.paths
        self._given = Given(source)

    def test(self, env: Mapping[str, Any]) -> bool:
        """Whether it holds.

        Raises:
            MissingPathError: a way that it names leads nowhere.
            ValueError: it has no value, or one that is neither true nor false; says why.
        """
        given, wide = self._given.of(env)
        try:
            if self._by_chars is not None and (wide or self._is_wide):
                holds = self._by_chars({**given, _SIZE: _size})
            else:
                holds = self._execute(given)
        except (KeyError, IndexError, RuntimeError, TypeError) as error:
            self._raise_missing(error, env)
            raise ValueError(_why(error)) from None
        except (ArithmeticError, ValueError) as error:
            raise ValueError(_why(error)) from None
        if holds is True or holds is False:
            return holds
        raise ValueError("it gives neither true nor false")

    def _raise_missing(self, error: Exception, env: Mapping[str, Any]) -> None:
        """Say which way leads nowhere, if that is what went wrong: one that `has()` asks for may do so."""
        missing = [path for path in self.paths if is_missing(path, env)]
        if isinstance(error, KeyError) and error.args:
            key = str(error.args[0]).strip("'\"")
            named = [path for path in missing if key in map(str, path)]
            raise MissingPathError(spelled(named[0]) if named else printable(key, 80)) from None
        if isinstance(error, TypeError):
            missing = [path for path in missing if _leads_into_no_table(path, env)]
        elif isinstance(error, RuntimeError):
            missing = [path for path in missing if path[0] not in env]
        if missing:
            raise MissingPathError(spelled(missing[0])) from None
        if isinstance(error, IndexError):
            raise MissingPathError("element at that position") from None


def _leads_into_no_table(path: Path, env: Mapping[str, Any]) -> bool:
    """Whether a way ends before its end because a value has no parts, or none with names."""
    value: Any = env
    for part in path:
        if not isinstance(value, Mapping):
            if not isinstance(value, list) or not isinstance(part, int):
                return True
            value = dict(enumerate(value))
        if part not in value:
            return False
        value = value[part]
    return False


def _why(error: Exception) -> str:
    return _WHY.get(type(error).__name__, "it cannot be evaluated with these values")


def _by_chars(text: str, sizes: list[int]) -> str:
    """The same with a `size` of ours."""
    for at in reversed(sizes):
        text = f"{text[:at]}{_SIZE}{text[at + len('size') :]}"
    return text


def _size(value: object) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    raise TypeError("it has no size")


class _Program(Protocol):
    def execute(self, context: dict[str, Any]) -> Any: ...


class _Library(Protocol):
    def compile(self, expression: str) -> _Program: ...


_LOADING = Lock()


def _library() -> _Library:
    """The extension alone: its package would load a command line, which takes 0.2 s."""
    with _LOADING:
        return _loaded()


@cache
def _loaded() -> _Library:
    loaded = sys.modules.get("cel.cel")
    if loaded is None:
        package = find_spec("cel")
        where = package.submodule_search_locations if package else None
        if package is not None and where is None:  # such as a script: it would be taken for its own part
            raise ImportError(
                f"another module is called cel, as common-expression-language's: {package.origin}"
            )
        spec = PathFinder.find_spec("cel.cel", where)
        if spec is None or spec.loader is None:
            raise ImportError("common-expression-language is not installed: pip install penstock")
        loaded = module_from_spec(spec)
        sys.modules["cel.cel"] = loaded  # where `import cel` looks for it
        spec.loader.exec_module(loaded)
    return cast("_Library", loaded)


def _first_problem(error: ValueError) -> str:
    """`character 5: …`, of the library's report of several lines."""
    text = str(error)
    _, found, rest = text.partition("<input>:")
    if not found:
        return printable(" ".join(text.split()))
    line, _, rest = rest.partition(":")
    at, _, rest = rest.partition(":")
    shown = (
        " ".join(rest.partition("\n")[0].split()).removeprefix("Syntax error: ").partition(" expecting ")[0]
    )
    where = f"character {at}" if line == "1" else f"line {line}, character {at}"
    return f"{where}: {printable(shown, 120)}"
