"""Elements whose texts and attributes are escaped by construction."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from penstock.demo.web.markup import element, joined, verbatim


class Read(HTMLParser):
    """What a parser of HTML makes of it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.tags.append(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        """Remember it."""
        self.text += data


@given(st.text(st.characters(exclude_categories=["C"])))
def test_no_text_becomes_markup(text: str) -> None:
    """Neither between tags nor in an attribute."""
    read = Read(element("p", text, title=text))

    assert read.tags == ["p"]
    assert read.attributes == {"title": text}
    assert read.text == text


def test_what_cannot_be_seen_is_shown_by_its_number() -> None:
    """Control characters, and those that turn around the text after them."""
    assert element("p", "a\x1b\u202eb\x00\ud800") == "<p>a\\u001b\\u202eb\\u0000\\ud800</p>"


def test_markup_is_taken_as_it_is_and_numbers_are_short() -> None:
    """So that elements are put into one another."""
    inner = element("rect", x=1 / 3, width=40.0, class_="of-a", stroke_width=None)

    assert inner == '<rect x="0.33" width="40" class="of-a"></rect>'
    assert joined(["<", inner]) == "&lt;" + inner
    assert element("br") == "<br>"


@given(st.text(st.characters(exclude_categories=["C"])))
def test_a_document_of_others_stays_in_its_attribute(document: str) -> None:
    """Exactly as it is, for the browser to put it into a frame."""
    read = Read(element("iframe", sandbox="", srcdoc=verbatim(document)))

    assert read.tags == ["iframe"]
    assert read.attributes == {"sandbox": "", "srcdoc": document}
