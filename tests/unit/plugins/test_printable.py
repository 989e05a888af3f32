"""Text from strangers in our messages."""

from __future__ import annotations

from penstock_plugins.printable import printable


def test_what_a_terminal_would_obey_is_escaped() -> None:
    """Colours, line breaks, and text that runs backwards."""
    assert printable("a\x1b[31mb\nc\u202ed\x00") == r"a\x1b[31mb\nc\u202ed\x00"


def test_what_people_read_stays() -> None:
    """In any script."""
    assert printable("Grüße, 世界 ☕") == "Grüße, 世界 ☕"


def test_a_long_text_is_cut_and_says_so() -> None:
    """To the length that was asked for."""
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("x" * 11, 10) == "x" * 10 + "…"


def test_an_error_is_its_message() -> None:
    """As messages quote other errors."""
    assert printable(ValueError("no\tmore")) == r"no\tmore"
