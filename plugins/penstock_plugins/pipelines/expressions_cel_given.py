"""What a condition is given: of all that there is what it names, counted, since it is converted for CEL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from penstock_plugins.pipelines.expressions_bounds import MAX_LIST
from penstock_plugins.pipelines.expressions_cel_source import Source
from penstock_plugins.pipelines.expressions_paths import Path, spelled

#: Lists, tables and single values that one evaluation is given at most.
_MAX_NODES = 100_000
#: Characters that one evaluation is given at most, and those that it may search by a pattern.
_MAX_CHARS = 4 * 1024 * 1024
_MAX_SEARCHED_CHARS = 64 * 1024
#: Characters of texts that are not ASCII, times the sizes of an expression, at most: each may count them.
_MAX_COUNTED_CHARS = 16 * 1024 * 1024
#: Of a value that each element of a loop is compared with.
_MAX_LOOPED_CHARS = 1000
#: Elements that loops look at, times the tokens of the expression, at most.
_MAX_LOOP_WORK = 600_000
#: Values that one evaluation is given, times its comparisons and sizes, at most.
_MAX_COMPARE_WORK = 1_000_000
_MAX_NESTING = 64
#: Elements of a list of which only the size is asked, for one of those that are looked at.
_SIZES_A_NODE = 16
_TOO_MUCH = "it names more than it may look at: name what is needed inside of it"
#: In the parts of a value: its size is asked, too.
_SIZE: Final = object()
#: The parts of a value that are named. None: all of it.
_Parts: TypeAlias = "dict[object, _Parts] | None"


class Given:
    """What the text of a condition names."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._parts = _parts(source)
        self._max_list = MAX_LIST
        if source.loops:
            self._max_list = min(MAX_LIST, _MAX_LOOP_WORK // (source.tokens * source.loops))

    def of(self, env: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """That, of what there is; and whether sizes are asked while some text in it is not ASCII.

        Raises:
            ValueError: it is too much.
        """
        left = _Left(self._source, self._max_list)
        for path in self._source.looped:
            left.check_looped(path, env)
        given = {root: _pruned(env[root], inner, left) for root, inner in self._parts.items() if root in env}
        return given, left.sizes_wide


def _parts(source: Source) -> dict[str, Any]:
    """The paths, put together: `{root: {part: {…}}}`."""
    tree: dict[str, Any] = {}
    for path in sorted((*source.paths, *source.looped), key=len, reverse=True):
        _around(tree, path)[path[-1]] = None  # what is named whole wins over its parts
    for path in source.sized:
        around = _around(tree, path)
        inside = None if around is None else around.setdefault(path[-1], {})
        if inside is not None:
            inside[_SIZE] = None
    return tree


def _around(tree: dict[str, Any], path: Path) -> Any:
    """The table for the last part of a path. None: a value around it is named whole."""
    at: Any = tree
    for part in path[:-1]:
        at = at.setdefault(part, {})
        if at is None:
            break
    return at


def _pruned(value: Any, inner: Any, left: _Left) -> Any:
    kind = type(value)
    if inner is None:
        if kind is str:
            left.take_text(value)
        elif kind is list or kind is dict:
            left.take(value)
        return value
    if kind is dict:
        made = dict.fromkeys(value) if left.sized(value, inner) else {}
        for part, below in inner.items():
            if part in value:
                made[part] = _pruned(value[part], below, left)
        return made
    positions = [part for part in inner if part is not _SIZE]
    if kind is list and all(type(part) is int for part in positions):
        return _pruned_list(value, inner, positions, left)
    return _pruned(value, None, left)


def _pruned_list(items: list[Any], inner: Any, positions: Sequence[Any], left: _Left) -> list[Any]:
    last = max(positions, default=-1)
    if last >= MAX_LIST:
        raise ValueError(f"it names position {last}; {MAX_LIST} elements are looked at")
    made: list[Any] = [None] * (len(items) if left.sized(items, inner) else min(len(items), last + 1))
    for number in positions:
        if number < len(items):
            made[number] = _pruned(items[number], inner[number], left)
    return made


class _Left:
    """What is left of what one evaluation may be given."""

    def __init__(self, source: Source, max_list: int) -> None:
        self._max_list = max_list
        self._max_text = _MAX_SEARCHED_CHARS if source.matches else _MAX_CHARS
        walks = source.compares + len(source.sizes)
        self._nodes = min(_MAX_NODES, _MAX_COMPARE_WORK // max(walks, 1))
        self._chars = _MAX_CHARS
        self._sizes = len(source.sizes)
        self._counted = _MAX_COUNTED_CHARS
        #: Whether sizes are asked, and some text is not ASCII.
        self.sizes_wide = False

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
                    if len(item) > self._max_list:
                        raise ValueError(f"a list has {len(item)} elements; it may look at {self._max_list}")
                    if type(item) is dict:
                        self._chars -= sum(map(len, item))
                        self.sizes_wide |= self._sizes > 0 and not all(map(str.isascii, item))
                        inner.extend(item.values())
                    else:
                        inner.extend(item)
                if self._nodes < len(inner) or self._chars < 0:
                    raise ValueError(_TOO_MUCH)
            level, depth = inner, depth + 1
            if depth > _MAX_NESTING:
                raise ValueError(f"a value is nested more than {_MAX_NESTING} deep")

    def sized(self, value: list[Any] | dict[str, Any], inner: Any) -> bool:
        """Whether its size is asked; counted.

        Raises:
            ValueError: it is too much.
        """
        if _SIZE not in inner:
            return False
        self._nodes -= len(value) // _SIZES_A_NODE
        if self._nodes < 0:
            raise ValueError(_TOO_MUCH)
        return True

    def take_text(self, text: str) -> None:
        """As `take`, of a text."""
        self._chars -= len(text)
        if self._sizes and not text.isascii():
            self.sizes_wide = True
            self._counted -= len(text) * self._sizes
        if len(text) > self._max_text or self._chars < 0:
            raise ValueError(f"a text has {len(text)} characters; it may look at {self._max_text}")
        if self._counted < 0:
            raise ValueError(f"a text has {len(text)} characters, too many to count them {self._sizes} times")

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
