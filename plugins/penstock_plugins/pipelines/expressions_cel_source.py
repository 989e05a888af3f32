"""Reads the text of a CEL expression: what it names, and whether it could cost too much.

The library that evaluates CEL gives no syntax tree, and cannot be stopped once it runs. So everything that
could make an expression dear is refused here, by its tokens: what is left costs at most its length times the
values that it names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from penstock_plugins.pipelines.expressions_paths import ROOTS, Path
from penstock_plugins.printable import printable

#: Brackets inside each other at most.
_MAX_DEPTH = 16
#: What copies: a `+` may be one of texts or lists.
_MAX_PLUS = 16
#: Loops of one expression at most.
_MAX_LOOPS = 3
_MAX_PATTERN_CHARS = 100
#: Those that look at each element and keep none: filter() and map() copy what they have for each element.
LOOPS = frozenset({"all", "exists", "exists_one"})
_COMPARES = frozenset({"==", "!=", "in"})
_CHOOSES = LOOPS | {"&&", "||", "?", "has"}
_FUNCTIONS = frozenset(
    {"contains", "double", "duration", "endsWith", "has", "int", "matches", "size", "startsWith", "string"}
    | {"timestamp", "type", "uint"}
    | {"getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours"}
    | {"getMilliseconds", "getMinutes", "getMonth", "getSeconds"}
)
_CONSTANTS = frozenset({"true", "false", "null", "in"})
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>[rR]"[^"\n\r]*"|[rR]'[^'\n\r]*'|"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*')
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[<>!?:+\-*/%.,()\[\]{}])
    )""",
    re.VERBOSE,
)
#: What people write who think of Python, and what CEL has for it.
_OF_PYTHON = {
    "and": "write &&",
    "or": "write ||",
    "not": "write !",
    "is": "write ==",
    "len": "write size()",
    "None": "write null",
    "True": "write true",
    "False": "write false",
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    #: Character at which it begins, from 1.
    at: int


_END = _Token("end", "", 0)


@dataclass(slots=True, kw_only=True)
class Source:
    """What a text of CEL names and has."""

    #: Ways from a root, each as far as it is written plainly.
    paths: list[Path] = field(default_factory=list)
    #: Those of which only the size is asked.
    sized: list[Path] = field(default_factory=list)
    #: Those that are looked up for each element of a loop: they must be single values.
    looped: list[Path] = field(default_factory=list)
    tokens: int = 0
    #: Whether it may leave out some of what it names: by `&&`, `||`, `?`, `has()` or a loop over nothing.
    chooses: bool = False
    loops: int = 0
    #: Comparisons: each may walk through what it compares.
    compares: int = 0
    #: Whether it searches texts by a pattern.
    matches: bool = False
    #: Where `size` is called, by position in the text.
    sizes: list[int] = field(default_factory=list)


def read_source(text: str) -> Source:
    """Read an expression.

    Raises:
        ValueError: it has what may not be used; says where.
    """
    return _Reader(_tokens(text)).read()


def _tokens(text: str) -> list[_Token]:
    found, end = [], 0
    text = text.rstrip()
    while end < len(text):
        match = _TOKEN.match(text, end)
        if match is None or match.lastgroup is None:
            rest = text[end:].lstrip()
            shown = printable(rest[:1], 10)
            instead = "; write ==" if shown == "=" else ""
            raise ValueError(f"character {len(text) - len(rest) + 1}: {shown} is not allowed{instead}")
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup) + 1))
        end = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        #: The loop's own name, and the depth at which it ends. None: there is no loop here.
        self._loop: tuple[str, int] | None = None
        #: Names that are no ways.
        self._known = set(_CONSTANTS)
        self._source = Source(tokens=len(tokens))

    def read(self) -> Source:
        self._source.compares = sum(token.text in _COMPARES for token in self._tokens)
        self._source.chooses = any(token.text in _CHOOSES for token in self._tokens)
        plus = sum(token.text == "+" for token in self._tokens)
        if plus > _MAX_PLUS:
            raise ValueError(f"it has {plus} times +; {_MAX_PLUS} are allowed")
        while self._at < len(self._tokens):
            token = self._token()
            if token.kind == "name":
                self._name(token)
                continue
            if token.text == "/" and self._token(1).text == "/":
                raise ValueError(f"character {token.at}: comments are not allowed")
            if token.kind == "text":
                self._text(token)
            self._bracket(token)
            self._at += 1
        return self._source

    def _token(self, ahead: int = 0) -> _Token:
        at = self._at + ahead
        return self._tokens[at] if 0 <= at < len(self._tokens) else _END

    def _text(self, token: _Token) -> None:
        """Quotes mean the same here and there: no three in a row, and no letters before them but r."""
        before = self._token(-1)
        if before.kind == "text" or (before.kind == "name" and before.text != "in"):
            raise ValueError(f"character {token.at}: a text cannot stand here")

    def _bracket(self, token: _Token) -> None:
        if token.kind == "sign" and token.text in "([{":
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise ValueError(f"character {token.at}: it is nested more than {_MAX_DEPTH} deep")
        elif token.kind == "sign" and token.text in ")]}":
            self._depth -= 1
            if self._loop is not None and self._depth < self._loop[1]:
                self._loop, self._known = None, set(_CONSTANTS)

    def _name(self, token: _Token) -> None:
        before, after = self._token(-1), self._token(1)
        inside = before.text == "." and before.kind == "sign"
        if inside and not self._has_value_before_dot():
            raise ValueError(f"character {before.at}: a name does not begin with a dot")
        if after.text == "{":
            raise ValueError(f"character {token.at}: {token.text}{{}} is not allowed")
        if after.text == "(" and token.text != "in":
            self._call(token, inside)
        elif inside or token.text in self._known:
            self._at += 1
        elif token.text in ROOTS:
            self._path(token)
        else:
            known = _OF_PYTHON.get(token.text) or f"there are {', '.join(ROOTS)}"
            raise ValueError(f"character {token.at}: there is no {printable(token.text, 80)}; {known}")

    def _has_value_before_dot(self) -> bool:
        token = self._token(-2)
        return token.kind in {"name", "text"} or token.text in {")", "]", "}"}

    def _call(self, token: _Token, inside: bool) -> None:
        name = token.text
        if inside and name in LOOPS:
            self._begin_loop(token)
            return
        if name in {"filter", "map"}:
            loops = ", ".join(sorted(LOOPS))
            raise ValueError(f"character {token.at}: {name}() is not allowed in a condition; use {loops}")
        if name not in _FUNCTIONS:
            known = _OF_PYTHON.get(name) or f"there are {', '.join(sorted(LOOPS | _FUNCTIONS))}"
            raise ValueError(f"character {token.at}: there is no {printable(name, 80)}(); {known}")
        if name == "matches":
            self._pattern(token)
        elif name == "size":
            self._source.sizes.append(token.at - 1)
        self._at += 1

    def _begin_loop(self, token: _Token) -> None:
        own, comma = self._token(2), self._token(3)
        if self._loop is not None:
            raise ValueError(f"character {token.at}: {token.text}() inside of another loop is not allowed")
        if own.kind != "name" or comma.text != ",":
            raise ValueError(f"character {token.at}: write {token.text}(x, condition of x)")
        if own.text in ROOTS or own.text in _CONSTANTS:
            raise ValueError(f"character {own.at}: {own.text} is something else: call the element x")
        self._source.loops += 1
        if self._source.loops > _MAX_LOOPS:
            raise ValueError(f"it has more than {_MAX_LOOPS} loops")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ValueError(f"character {token.at}: it is nested more than {_MAX_DEPTH} deep")
        self._loop = (own.text, self._depth)
        self._known.add(own.text)
        self._at += 4

    def _pattern(self, token: _Token) -> None:
        """The pattern is written out and small: it is made ready for each evaluation."""
        pattern, close = self._token(2), self._token(3)
        if self._loop is not None:
            raise ValueError(
                f"character {token.at}: matches() is not allowed in a loop: use startsWith or contains"
            )
        if pattern.kind != "text" or close.text != ")" or len(pattern.text) > _MAX_PATTERN_CHARS:
            raise ValueError(
                f"character {token.at}: matches() takes a text, of {_MAX_PATTERN_CHARS} characters at most"
            )
        if "{" in pattern.text or "\\x" in pattern.text or "\\u" in pattern.text.lower():
            raise ValueError(f"character {pattern.at}: a pattern has no {{ and no characters by number")
        self._source.matches = True

    def _path(self, token: _Token) -> None:
        """A way from a root: names after dots, positions and texts in brackets."""
        path: list[str | int] = [token.text]
        before = (self._token(-2).text, self._token(-1).text)
        self._at += 1
        while (part := self._next_part()) is not None:
            path.append(part)
        after = tuple(self._token(ahead).text for ahead in range(4))
        if self._loop is not None:
            self._source.looped.append(tuple(path))
        elif after == (".", "size", "(", ")") or (before == ("size", "(") and after[0] == ")"):
            self._source.sized.append(tuple(path))
        else:
            self._source.paths.append(tuple(path))

    def _next_part(self) -> str | int | None:
        first, second, third = self._token(), self._token(1), self._token(2)
        if first.kind != "sign":
            return None
        if first.text == "." and second.kind == "name" and third.text != "(":
            self._at += 2
            return second.text
        if first.text == "[" and third.text == "]" and third.kind == "sign":
            if second.kind == "number" and second.text.isdigit():
                self._at += 3
                return int(second.text)
            if second.kind == "text" and "\\" not in second.text and second.text[0] in "'\"":
                self._at += 3
                return second.text[1:-1]
        return None
