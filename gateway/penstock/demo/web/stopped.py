"""The hostile calls, and the documents: what came from guests, shown so that it can do nothing."""

from __future__ import annotations

from penstock.cli.words import counted, size, span
from penstock.demo.report import Report, Stopped
from penstock.demo.web.figure import Figure
from penstock.demo.web.markup import Markup, element, verbatim
from penstock.demo.web.tables import table

#: What each hostile tool does.
_DOES = {
    "hostile.loop": "Never comes back.",
    "hostile.hog": "Takes a megabyte after the other until the host gives no more.",
}
#: The document that is shown, where it is among them.
_SHOWN = "README.md"
#: Nothing at all for whoever wrote what is inside: no scripts, no forms, no address of ours, no network.
_FRAME_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_FRAME_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.55 system-ui, sans-serif; margin: 1.2rem; overflow-wrap: anywhere }
pre { overflow-x: auto } pre, code { font-size: .9em } table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }
"""


def hostile_calls(report: Report) -> Figure | None:
    """What each tried, and how it ended."""
    if not report.hostile:
        return None
    return Figure(
        title="What each did, and how it was stopped",
        caption="Two tools that misbehave were called while text.stats ran, in the same worker. "
        "Each has one second and 32 MiB.",
        drawn=table(
            ("Tool", "How it ended", "After", "Other calls meanwhile"),
            [_row(stopped) for stopped in report.hostile],
            numbers=("After", "Other calls meanwhile"),
        ),
    )


def documents(report: Report) -> Figure | None:
    """The documents that were turned into HTML, and one of them to look at."""
    calls = report.documents
    answers = [(file, result) for file, result in calls.measured() if isinstance(result.data, dict)]
    if not answers:
        return None
    shown, found = next(
        ((file.name, result) for file, result in answers if file.name == _SHOWN),
        (answers[0][0].name, answers[0][1]),
    )
    return Figure(
        title="Markdown into HTML",
        caption=f"{counted(len(answers), 'document')} of {report.documents_of}, by markdown.to_html. "
        f"This is {shown}, in a frame without scripts, links or network.",
        drawn=element(
            "iframe",
            sandbox="",
            title=f"{shown} as HTML",
            srcdoc=verbatim(_frame(str(found.data["html"]))),
        ),
        numbers=table(
            ("Document", "Markdown", "HTML", "Time"),
            [
                (
                    file.name,
                    size(file.size_bytes),
                    size(len(str(result.data["html"]).encode(errors="replace"))),
                    span(result.metadata.execution_ms / 1000),
                )
                for file, result in answers
            ],
            numbers=("Markdown", "HTML", "Time"),
        ),
    )


def _row(stopped: Stopped) -> tuple[str | Markup, ...]:
    tool, error = stopped.result.tool, stopped.result.error
    verdict = "verdict good" if stopped.as_expected else "verdict bad"
    return (
        _two(element("b", tool), _DOES.get(tool, "")),
        _two(
            element("span", error.code.value if error else "not stopped", class_=verdict),
            f"{error.message}." if error else "",
        ),
        span(stopped.took_s),
        f"{stopped.meanwhile:,}",
    )


def _two(first: Markup, second: str) -> Markup:
    """One under the other."""
    return element("span", first, element("br"), second, class_="two")


def _frame(document: str) -> str:
    """A guest's HTML below a head of ours, which it cannot take back."""
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{_FRAME_POLICY}"><style>{_FRAME_STYLE}</style></head><body>{document}</body></html>'
    )
