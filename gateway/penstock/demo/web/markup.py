"""Elements of HTML and SVG whose texts and attributes are escaped by construction.

What guests and files say is hostile until proven otherwise: nothing becomes markup but what `element` made.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

#: Characters that are invisible, or that turn the text after them around: shown by their numbers.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
#: Elements that have no end tag in HTML.
_VOID = frozenset({"meta", "br"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """The text as markup, for an element or an attribute."""
    return Markup(html.escape(_UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text), quote=True))


def element(name: str, /, *inside: str | float, **attributes: str | float | None) -> Markup:
    """An element.

    Args:
        name: of the element.
        inside: what is between its tags. Escaped, unless it is `Markup`.
        attributes: escaped. `_` in a name stands for `-`, and one at its end for nothing (`class_`). None is
            left out; numbers are rounded to hundredths, which no eye can tell apart.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(inside)}</{name}>")


def joined(parts: Iterable[str | float]) -> Markup:
    """All of it, one after the other; escaped, unless it is `Markup`."""
    return Markup("".join(part if isinstance(part, Markup) else _value(part) for part in parts))


def verbatim(document: str) -> Markup:
    """A whole document of others as the value of `srcdoc`: quoted, so that a browser reads it as it is."""
    return Markup(document.replace("&", "&amp;").replace('"', "&quot;"))


def _value(value: str | float) -> str:
    if isinstance(value, Markup):
        return value
    return escaped(value) if isinstance(value, str) else f"{round(value, 2):g}"
