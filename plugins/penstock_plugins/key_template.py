"""Keys made of a call's params and context: `api/{{input.region}}/{{context.tenant}}`. Pure.

A hole names a value: `input` is the params, `context` has `tenant`, `tool`, `plugin`, `session`, `request`.
Templates are parsed once, when the manifest is read, and rendered for each call.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from penstock_plugins.errors import ParamsError
from penstock_plugins.key_expression import Read, compile_expression
from penstock_plugins.printable import printable

#: Characters of a key at most.
MAX_KEY_CHARS = 256
#: Characters of a template at most.
MAX_TEMPLATE_CHARS = 1024
#: Holes of a template at most.
MAX_HOLES = 8
_ONE_PARAM = re.compile(r"\{\{\s*input\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
#: Larger integers are none that JSON's readers agree on.
_MAX_INT_BITS = 64


class KeyTemplate:
    """A text with holes, each of which names a value.

    Args:
        text: the template.

    Raises:
        ValueError: a hole that names nothing, or a template that is too large; says where.
    """

    __slots__ = ("_before", "_holes", "_one_param")

    def __init__(self, text: str) -> None:
        if not 0 < len(text) <= MAX_TEMPLATE_CHARS:
            raise ValueError(f"a key template has 1 to {MAX_TEMPLATE_CHARS} characters")
        before, *pieces = _pieces(text)
        if len(pieces) > MAX_HOLES:
            raise ValueError(f"a key template has at most {MAX_HOLES} holes")
        if len(before.after) + sum(len(piece.after) for piece in pieces) > MAX_KEY_CHARS:
            raise ValueError(f"a key has at most {MAX_KEY_CHARS} characters")
        self._before = before.after
        self._holes = [
            (piece.expression, _compiled(piece, number), piece.after)
            for number, piece in enumerate(pieces, start=1)
        ]
        one = _ONE_PARAM.fullmatch(text)
        self._one_param = one[1] if one else None

    def render(self, params: Any, context: Mapping[str, Any]) -> str:
        """The key of one call.

        Args:
            params: the call's params.
            context: `tenant`, `tool`, `plugin`, `session` and `request`.

        Raises:
            ParamsError: a value is missing, or is none that a key can be made of; names its path.
        """
        if not self._holes:
            return self._before
        if self._one_param is not None and type(params) is dict:
            value = params.get(self._one_param)
            if type(value) is str and 0 < len(value) <= MAX_KEY_CHARS:
                return value
        made = [self._before]
        for expression, read, after in self._holes:
            try:
                value = read(params, context)
                made.append(value if type(value) is str and len(value) <= MAX_KEY_CHARS else _text(value))
            except ValueError as error:
                raise _refused(expression, str(error)) from None
            made.append(after)
        key = "".join(made)
        if not 0 < len(key) <= MAX_KEY_CHARS:
            raise _refused("$", f"the key has {len(key)} characters; 1 to {MAX_KEY_CHARS} are allowed")
        return key


class _Piece(NamedTuple):
    #: What is in the hole. "": the text's beginning, which has none.
    expression: str
    #: Character of the template at which the hole begins, from 1.
    at: int
    #: The text up to the next hole.
    after: str


def _pieces(text: str) -> Iterator[_Piece]:
    """The text's beginning, and each hole with what stands behind it."""
    expression, at, end = "", 0, 0
    while True:
        start = text.find("{{", end)
        after = text[end:] if start < 0 else text[end:start]
        if "}}" in after:
            raise ValueError(f"the braces at character {end + after.index('}}') + 1} close no hole")
        yield _Piece(expression, at, after)
        if start < 0:
            return
        close = text.find("}}", start)
        if close < 0:
            raise ValueError(f"the hole at character {start + 1} is not closed")
        expression, at, end = text[start + 2 : close].strip(), start + 1, close + 2


def _compiled(hole: _Piece, number: int) -> Read:
    try:
        return compile_expression(hole.expression)
    except ValueError as error:
        named = printable(hole.expression, 80)
        raise ValueError(f"hole {number} at character {hole.at}, {{{{{named}}}}}: {error}") from error


def _text(value: Any) -> str:
    """A value as it stands in a key: a text as it is, else as JSON.

    Raises:
        ValueError: no key can be made of it.
    """
    if isinstance(value, str):
        if len(value) > MAX_KEY_CHARS:
            raise ValueError(f"has {len(value)} characters; a key has at most {MAX_KEY_CHARS}")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() <= _MAX_INT_BITS:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if value is None:
        raise ValueError("has no value, and the key is made of it")
    raise ValueError("is no text, number or boolean, and the key is made of it")


def _refused(path: str, why: str) -> ParamsError:
    message = f"{path}: {why}"
    return ParamsError(message, {"errors": [{"path": path, "message": why}]})
