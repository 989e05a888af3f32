"""Text of guests cannot forge lines, drive terminals or grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_workers.text import clean, cut


def test_plain_text_is_left_alone() -> None:
    """Letters of any script, tabs and emoji are no danger."""
    assert clean("naïve\t日本 🙂") == "naïve\t日本 🙂"


def test_what_could_forge_is_spelled_out() -> None:
    """Ends of lines, escape sequences and marks that turn a line around."""
    assert clean("a\r\nb\x1b[31m\x00\x85\u2028\u202e") == "a\\x0d\\nb\\x1b[31m\\x00\\x85\\u2028\\u202e"


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_cleaned_text_is_one_short_line(text: str, max_bytes: int) -> None:
    """Whatever comes in, one line of no more than the bytes comes out."""
    cleaned = clean(text, max_bytes)

    assert len(cleaned.encode(errors="surrogatepass")) <= max_bytes
    assert len(cleaned.splitlines()) <= 1
    assert "\x1b" not in cleaned


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(min_value=0, max_value=50))
def test_cut_keeps_whole_characters_of_the_beginning(text: str, max_bytes: int) -> None:
    """A character that does not fit is left out whole."""
    short = cut(text, max_bytes)

    assert text.startswith(short)
    assert len(short.encode()) <= max_bytes
    assert short == text or len(text[: len(short) + 1].encode()) > max_bytes
