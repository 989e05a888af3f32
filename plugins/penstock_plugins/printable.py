"""Text that strangers wrote, made fit for a message: no control characters, never long."""

from __future__ import annotations


def printable(text: object, max_chars: int = 200) -> str:
    """The text on one line, with what a terminal would obey escaped, cut to `max_chars`."""
    shown = str(text)
    cut = shown[:max_chars]
    if not cut.isprintable():
        cut = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return cut if len(shown) <= max_chars else f"{cut}…"
