"""Conditions in CEL (L-4), by the library that is written in Rust. It is given what is named, and no more."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any, Protocol, cast

from penstock_plugins.pipelines.expressions_bounds import MAX_LIST
from penstock_plugins.pipelines.expressions_cel_source import Source, read_source
from penstock_plugins.pipelines.expressions_paths import MissingPathError, Path, is_missing, spelled
from penstock_plugins.printable import printable

#: Lists, tables and single values that one evaluation is given at most.
_MAX_NODES = 100_000
#: Characters that one evaluation is given at most, and those that it may search by a pattern.
_MAX_CHARS = 4 * 1024 * 1024
_MAX_SEARCHED_CHARS = 64 * 1024
#: Of a value that each element of a loop is compared with.
_MAX_LOOPED_CHARS = 1000
#: Elements that loops look at, times the tokens of the expression, at most.
_MAX_LOOP_WORK = 600_000
_MAX_NESTING = 64
#: In words of ours: the library's hold values.
_WHY = {
    "TypeError": "its values do not go together: CEL does not convert, as int(…), double(…) and string(…) do",
    "ZeroDivisionError": "it divides by zero",
    "OverflowError": "a number is too large",
}


class Condition:
    """One expression, compiled.

    Args:
        text: it.

    Raises:
        ValueError: it is none, or could cost too much.
    """

    __slots__ = ("_execute", "_max_list", "_pruned", "_source", "certain", "paths")

    def __init__(self, text: str) -> None:
        self._source = read_source(text)
        try:
            self._execute = _library().compile(text).execute
        except ValueError as error:
            raise ValueError(f"it is no CEL: {_first_problem(error)}") from None
        #: Every way from a root that it names.
        self.paths: tuple[Path, ...] = (*self._source.paths, *self._source.looped)
        #: Those of them that must lead somewhere. None, where it may not come to look.
        self.certain: tuple[Path, ...] = () if self._source.chooses else self.paths
        self._pruned = _tree(self.paths)
        self._max_list = MAX_LIST
        if self._source.loops:
            self._max_list = min(MAX_LIST, _MAX_LOOP_WORK // (self._source.tokens * self._source.loops))

    def test(self, env: Mapping[str, Any]) -> bool:
        """Whether it holds.

        Raises:
            MissingPathError: a way that it names leads nowhere.
            ValueError: it has no value, or one that is neither true nor false; says why.
        """
        given = self._given(env)
        try:
            holds = self._execute(given)
        except (KeyError, IndexError, RuntimeError, TypeError) as error:
            self._raise_missing(error, env)
            raise ValueError(
                _WHY.get(type(error).__name__, "it cannot be evaluated with these values")
            ) from None
        except (ArithmeticError, ValueError, RecursionError) as error:
            raise ValueError(
                _WHY.get(type(error).__name__, "it cannot be evaluated with these values")
            ) from None
        if holds is True or holds is False:
            return holds
        raise ValueError("it gives neither true nor false")

    def _given(self, env: Mapping[str, Any]) -> dict[str, Any]:
        """Of all that there is, what the expression names: what it is given, is converted."""
        left = _Left(self._source, self._max_list)
        for path in self._source.looped:
            left.check_looped(path, env)
        return {root: _pruned(env[root], inner, left) for root, inner in self._pruned.items() if root in env}

    def _raise_missing(self, error: Exception, env: Mapping[str, Any]) -> None:
        missing = [path for path in self.paths if is_missing(path, env)]
        if isinstance(error, KeyError) and error.args:
            key = str(error.args[0]).strip("'\"")
            missing.sort(key=lambda path: key not in path)
            if not missing:
                raise MissingPathError(printable(key, 80)) from None
        if missing:
            raise MissingPathError(spelled(missing[0])) from None
        if isinstance(error, IndexError):
            raise MissingPathError("element at that position") from None


#: The parts of values that are named; None: all of it.
_Tree = dict[str | int, Any] | None


def _tree(paths: tuple[Path, ...]) -> dict[str, Any]:
    """The paths, put together: `{root: {part: {…}}}`, None where a whole value is named."""
    tree: dict[str, Any] = {}
    for path in sorted(paths, key=len, reverse=True):  # what is named whole wins over its parts
        at: Any = tree
        for part in path[:-1]:
            at = at.setdefault(part, {})
        at[path[-1]] = None
    return tree


def _pruned(value: Any, inner: _Tree, left: _Left) -> Any:
    kind = type(value)
    if inner is None:
        if kind is str:
            left.take_text(value)
        elif kind is list or kind is dict:
            left.take(value)
        return value
    if kind is dict:
        return {part: _pruned(value[part], below, left) for part, below in inner.items() if part in value}
    if kind is list and all(type(part) is int for part in inner):
        last = max(cast("dict[int, Any]", inner))
        if last >= left.max_list:
            raise ValueError(f"it names position {last}; {left.max_list} elements are looked at")
        return [
            _pruned(item, inner[number], left) if number in inner else None
            for number, item in enumerate(value[: last + 1])
        ]
    return _pruned(value, None, left)


class _Left:
    """What is left of what one evaluation may be given."""

    def __init__(self, source: Source, max_list: int) -> None:
        self.max_list = max_list
        self._max_text = _MAX_SEARCHED_CHARS if source.matches else _MAX_CHARS
        self._nodes = _MAX_NODES
        self._chars = _MAX_CHARS

    def take(self, value: Any) -> None:
        """Count a value that is given whole.

        Raises:
            ValueError: it is too much.
        """
        level, depth = [value], 0
        while level:
            inner: list[Any] = []
            self._nodes -= len(level)
            for item in level:
                if type(item) is str:
                    self.take_text(item)
                elif type(item) is list or type(item) is dict:
                    if len(item) > self.max_list:
                        raise ValueError(f"a list has {len(item)} elements; it may look at {self.max_list}")
                    if type(item) is dict:
                        self._chars -= sum(map(len, item))
                        inner.extend(item.values())
                    else:
                        inner.extend(item)
                if self._nodes < len(inner) or self._chars < 0:
                    raise ValueError("it names more than it may look at: name what is needed inside of it")
            level, depth = inner, depth + 1
            if depth > _MAX_NESTING:
                raise ValueError(f"a value is nested more than {_MAX_NESTING} deep")

    def take_text(self, text: str) -> None:
        """As `take`, of a text."""
        self._chars -= len(text)
        if len(text) > self._max_text or self._chars < 0:
            raise ValueError(f"a text has {len(text)} characters; it may look at {self._max_text}")

    def check_looped(self, path: Path, env: Mapping[str, Any]) -> None:
        """See that what each element is compared with is one small value.

        Raises:
            ValueError: it is not.
        """
        value: Any = env
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return
        if isinstance(value, list | dict) or (isinstance(value, str) and len(value) > _MAX_LOOPED_CHARS):
            raise ValueError(
                f"{spelled(path)} inside of a loop must be one value, {_MAX_LOOPED_CHARS} characters at most"
            )


class _Program(Protocol):
    def execute(self, context: dict[str, Any]) -> Any: ...


class _Library(Protocol):
    def compile(self, expression: str) -> _Program: ...


@cache
def _library() -> _Library:
    """The extension alone: its package would load a command line, which takes 0.2 s."""
    loaded = sys.modules.get("cel.cel")
    if loaded is None:
        package = find_spec("cel")
        spec = PathFinder.find_spec("cel.cel", package.submodule_search_locations if package else None)
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
