"""Ways to values, as `input.files[0].name`: what expressions name, and what they need of what there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock_plugins.printable import printable

#: What an expression may begin with.
ROOTS = ("input", "data", "results", "steps", "result", "error", "item", "index")

#: The root, then names and positions.
Path = tuple[str | int, ...]


class MissingPathError(Exception):
    """Nothing is where an expression looks."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What must be kept for an expression, so that the rest can be let go."""

    roots: frozenset[str] = frozenset()
    #: Positions in `results`. None: any of them, because the list is used as a whole or from its end.
    results: frozenset[int] | None = frozenset()
    #: Names in `steps`. None: any of them.
    steps: frozenset[str] | None = frozenset()

    def __or__(self, other: Needs) -> Needs:
        return Needs(
            roots=self.roots | other.roots,
            results=None if self.results is None or other.results is None else self.results | other.results,
            steps=None if self.steps is None or other.steps is None else self.steps | other.steps,
        )


#: Of what needs nothing.
NOTHING = Needs()


def check_root(name: object) -> None:
    """Refuse what no expression may begin with.

    Raises:
        ValueError: it is no root.
    """
    if name not in ROOTS:
        raise ValueError(f"there is no {printable(name, 80)!r}; there are {', '.join(ROOTS)}")


def needs_of(paths: Iterable[Path]) -> Needs:
    """What the paths lead through."""
    roots: set[str] = set()
    results: set[int] = set()
    steps: set[str] = set()
    whole: set[str] = set()
    for root, *inner in paths:
        roots.add(str(root))
        first = inner[0] if inner else None
        if root == "results" and isinstance(first, int) and first >= 0:
            results.add(first)
        elif root == "steps" and isinstance(first, str):
            steps.add(first)
        else:
            whole.add(str(root))
    return Needs(
        roots=frozenset(roots),
        results=None if "results" in whole else frozenset(results),
        steps=None if "steps" in whole else frozenset(steps),
    )


def spelled(path: Path) -> str:
    """A path as it is written."""
    root, *inner = path
    return str(root) + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in inner)


def value_at(path: Path, env: Mapping[str, Any]) -> Any:
    """What is there.

    Raises:
        MissingPathError: nothing is.
    """
    value: Any = env
    try:
        for part in path:
            if type(value) is str:  # which has characters, and no parts
                raise MissingPathError(spelled(path))
            value = value[part]
    except (KeyError, IndexError, TypeError):
        raise MissingPathError(spelled(path)) from None
    return value


def is_missing(path: Path, env: Mapping[str, Any]) -> bool:
    """Whether nothing is there."""
    try:
        value_at(path, env)
    except MissingPathError:
        return True
    return False
