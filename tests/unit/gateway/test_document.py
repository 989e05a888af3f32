"""The demo's report as a page."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from penstock.demo.report import Report
from penstock.demo.web.document import BEGINNING, document
from tests.support.demo_reports import report_of

PLACE = [("Command", "penstock demo --files 3")]
#: Ends every context that it may be in, and begins a script.
HOSTILE = "\"'></title></style></svg></iframe><script>alert(1)</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Remember it."""
        self.text += data

    def count(self, tag: str) -> int:
        """How many there are."""
        return sum(name == tag for name, _ in self.elements)


def test_a_page_has_the_plots_and_says_what_they_show() -> None:
    """Complexity, size, time per call, calls per second for each tool; each with a table of its figures."""
    page = Page(document(report_of(30), PLACE))

    drawings = [attributes["aria-label"] or "" for tag, attributes in page.elements if tag == "svg"]
    assert len(drawings) == 7
    assert "20 of 30 functions have more than 10 paths" in drawings
    assert sum("calls per second" in says for says in drawings) == 3
    assert page.count("circle") == 30
    assert page.count("details") == page.count("svg") + 1
    assert page.count("h3") == page.count("figure") == 12
    assert "hostile.loop: TIMEOUT" in page.text
    assert "penstock demo --files 3" in page.text
    assert "All is well." in page.text


def test_nothing_that_a_guest_or_a_file_says_becomes_markup() -> None:
    """Names, messages and documents: the page has the same elements as with harmless ones."""
    harmless = Page(document(report_of(12), PLACE))
    report = report_of(12, name=HOSTILE, message=HOSTILE, html=HOSTILE)

    page = Page(document(report, [("Command", HOSTILE)]))

    assert [tag for tag, _ in page.elements] == [tag for tag, _ in harmless.elements]
    assert {"script", "img", "link"}.isdisjoint(tag for tag, _ in page.elements)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert HOSTILE in page.text


def test_documents_of_guests_are_in_a_frame_that_allows_nothing() -> None:
    """No scripts, no forms, no navigation of ours; and a policy of its own, before whatever is in it."""
    page = Page(document(report_of(3, html=HOSTILE), PLACE))

    frames = [attributes for tag, attributes in page.elements if tag == "iframe"]
    assert [frame["sandbox"] for frame in frames] == [""]
    inside = frames[0]["srcdoc"] or ""
    assert inside.index("default-src 'none'") < inside.index(HOSTILE)


def test_a_page_asks_the_network_for_nothing() -> None:
    """No addresses, and a policy that forbids them."""
    text = document(report_of(12), PLACE)

    page = Page(text)
    assert text.startswith(BEGINNING)
    assert {"src", "href"}.isdisjoint(name for _, attributes in page.elements for name in attributes)
    assert "url(" not in text
    assert "@import" not in text
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in page.elements)


@pytest.mark.parametrize("count", [1, 2])
def test_few_calls_make_a_page_too(count: int) -> None:
    """Axes have a length even when all values are equal."""
    assert Page(document(report_of(count), PLACE)).count("svg") == 7


def test_a_demo_that_failed_has_a_page_that_says_so() -> None:
    """With nothing to draw, and every problem named."""
    report = Report()
    report.troubles.append("code could not be published: no room")

    page = Page(document(report, PLACE))

    assert "Not all is well." in page.text
    assert "code could not be published: no room" in page.text
