"""Values with holes: `{"text": "{{input.text}}"}` (L-3). A text that is one hole keeps its value's type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from penstock_plugins.pipelines.expressions_bounds import MAX_OUTPUT_BYTES, Budget, weigh
from penstock_plugins.pipelines.expressions_errors import MAX_SHOWN_CHARS, Place
from penstock_plugins.pipelines.expressions_jmespath import Reference
from penstock_plugins.pipelines.expressions_paths import MissingPathError, Path, needs_of
from penstock_plugins.pipelines.model_values import MAX_EXPRESSION_CHARS
from penstock_plugins.printable import printable

#: Holes of one template at most.
MAX_HOLES = 200
_QUOTES = frozenset("'\"`")


class Piece(NamedTuple):
    """A part of a text."""

    #: Text as it stands, or the expression in a hole.
    text: str
    is_hole: bool


def pieces(text: str) -> list[Piece]:
    """A text taken apart.

    Raises:
        ValueError: a hole has no end, or nothing in it.
    """
    found, end = [], 0
    while (start := text.find("{{", end)) >= 0:
        if start > end:
            found.append(Piece(text[end:start], False))
        close = _end_of_hole(text, start + 2)
        if close < 0:
            raise ValueError(f"the hole at character {start + 1} is not closed")
        inside = text[start + 2 : close].strip()
        if not 0 < len(inside) <= MAX_EXPRESSION_CHARS:
            raise ValueError(
                f"the hole at character {start + 1}: an expression has 1 to {MAX_EXPRESSION_CHARS} characters"
            )
        found.append(Piece(inside, True))
        end = close + 2
    if end < len(text):
        found.append(Piece(text[end:], False))
    return found


def _end_of_hole(text: str, at: int) -> int:
    """Where the `}}` is that closes a hole: not one in quotes or inside of `{a: {b: c}}`. -1: nowhere."""
    depth, quote = 0, ""
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in _QUOTES:
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            if depth == 0:
                return at if text.startswith("}}", at) else -1
            depth -= 1
        at += 1
    return -1


class Template:
    """A value with holes, compiled.

    Args:
        value: any JSON value.
        step: the step as messages name it.
        key: the key that it stands under.

    Raises:
        ValueError: an expression in it is none or could cost too much; has every problem.
    """

    __slots__ = ("_build", "_constant", "certain", "needs", "paths", "value")

    def __init__(self, value: Any, *, step: str, key: str) -> None:
        self.value = value
        holes: list[_Hole] = []
        problems: list[str] = []
        build = _compiled(value, _Site(step, key, holes, problems))
        if problems:
            raise ValueError("; ".join(problems))
        if len(holes) > MAX_HOLES:
            raise ValueError(f"{key}: there are {len(holes)} holes; {MAX_HOLES} are allowed")
        self._build = build
        #: Bytes of what was written, a little more than what stands between the holes.
        self._constant = weigh(value, MAX_OUTPUT_BYTES)
        #: Every way from a root that it names.
        self.paths: tuple[Path, ...] = tuple(path for hole in holes for path in hole.reference.paths)
        self.certain: tuple[Path, ...] = tuple(path for hole in holes for path in hole.reference.certain)
        self.needs = needs_of(self.paths)

    @property
    def is_constant(self) -> bool:
        """Whether it has no holes."""
        return self._build is None

    def evaluate(self, env: Mapping[str, Any]) -> Any:
        """Its value. Parts of it may be parts of what was given: treat both as frozen.

        Args:
            env: the values of the roots that it needs.

        Raises:
            ParamsError: a path leads nowhere.
            PipelineError: an expression has no value, or makes too much.
        """
        if self._build is None:
            return self.value
        budget = Budget()
        budget.output_bytes -= self._constant
        return self._build(env, budget)


class _Hole:
    """One expression in a template."""

    __slots__ = ("place", "reference")

    def __init__(self, text: str, place: Place) -> None:
        self.place = place
        self.reference = Reference(text)

    def read(self, env: Mapping[str, Any], budget: Budget) -> Any:
        try:
            value = self.reference.read(env, budget)
            budget.output_bytes -= weigh(value, budget.output_bytes)
        except MissingPathError as error:
            raise self.place.missing(error.path) from None
        except ValueError as error:
            raise self.place.refused(str(error)) from None
        return value

    def read_text(self, env: Mapping[str, Any], budget: Budget) -> str:
        value = self.read(env, budget)
        if type(value) is str:
            return value
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # nested too deep, or a number that JSON's readers do not agree on
            raise self.place.refused("its value is no JSON") from None


class _Site(NamedTuple):
    """Where the compiler is in a value."""

    step: str
    key: str
    holes: list[_Hole]
    problems: list[str]

    def inside(self, part: str | int) -> _Site:
        key = f"{self.key}[{part}]" if isinstance(part, int) else f"{self.key}.{printable(part, 80)}"
        return self._replace(key=key)

    def hole(self, expression: str) -> _Hole | None:
        shown = f"{{{{{printable(expression, MAX_SHOWN_CHARS)}}}}}"
        try:
            found = _Hole(expression, Place(step=self.step, key=self.key, expression=shown))
        except ValueError as error:
            self.problems.append(f"{self.key}: {shown}: {error}")
            return None
        self.holes.append(found)
        return found


#: Makes a value. None: it is what was written.
_Build = Callable[[Mapping[str, Any], Budget], Any] | None


def _compiled(value: Any, site: _Site) -> _Build:
    if isinstance(value, str):
        return _compiled_text(value, site) if "{{" in value else None
    if isinstance(value, dict):
        return _compiled_table(value, site)
    if isinstance(value, list):
        return _compiled_list(value, site)
    return None


def _compiled_text(text: str, site: _Site) -> _Build:
    try:
        found = pieces(text)
    except ValueError as error:
        site.problems.append(f"{site.key}: {error}")
        return None
    compiled = [site.hole(piece.text) if piece.is_hole else piece.text for piece in found]
    parts = [part for part in compiled if part is not None]
    if len(parts) == 1 and isinstance(parts[0], _Hole):
        return parts[0].read

    def build(env: Mapping[str, Any], budget: Budget) -> str:
        return "".join([part if isinstance(part, str) else part.read_text(env, budget) for part in parts])

    return build


def _compiled_table(table: dict[str, Any], site: _Site) -> _Build:
    made = [(key, item, _compiled(item, site.inside(key))) for key, item in table.items()]
    if all(build is None for _, _, build in made):
        return None

    def build_table(env: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
        return {key: item if build is None else build(env, budget) for key, item, build in made}

    return build_table


def _compiled_list(items: list[Any], site: _Site) -> _Build:
    made = [(item, _compiled(item, site.inside(number))) for number, item in enumerate(items)]
    if all(build is None for _, build in made):
        return None

    def build_list(env: Mapping[str, Any], budget: Budget) -> list[Any]:
        return [item if build is None else build(env, budget) for item, build in made]

    return build_list
