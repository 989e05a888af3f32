"""The whole page: headline, figures, where it was made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from penstock.cli.words import counted, size
from penstock.demo.notes import notes
from penstock.demo.outlines import functions
from penstock.demo.report import Report
from penstock.demo.web import calls, sources, stopped
from penstock.demo.web.figure import grid
from penstock.demo.web.markup import Markup, element, joined
from penstock.demo.web.tables import table

#: Reports of ours begin with it, and nothing else does.
BEGINNING = '<!doctype html><html lang="en" data-made-by="penstock-demo">'
#: No scripts, and nothing from anywhere: whatever a name or a message would like to be.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def document(report: Report, place: Sequence[tuple[str, str]]) -> str:
    """The page as text.

    Args:
        report: what the demo found out.
        place: where and how, in rows of a name and a value.
    """
    rates = calls.rates(report)
    body = [
        _header(report),
        _section("In short", _headline(report), _notes(report)),
        _section("The run", grid(calls.course(report))),
        _section("Hostile calls", grid(stopped.hostile_calls(report))),
        _section(
            "Complexity",
            grid(sources.complexity(report), sources.complexity_by_size(report)),
            grid(sources.most_complex(report)),
        ),
        _section("Size", grid(sources.sizes(report), sources.largest(report))),
        _section("Time and speed", grid(calls.times(report), *rates)),
        _section("Documents", grid(stopped.documents(report))),
        _section("Where and how", table(("What", "Value"), place)),
    ]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "Penstock demo: a report"),
        element("style", _style()),
    )
    return f"{BEGINNING}{head}{element('body', element('main', joined(body)))}</html>\n"


@cache
def _style() -> Markup:
    return Markup(files("penstock.demo.web").joinpath("page.css").read_text(encoding="utf-8"))


def _section(title: str, *parts: Markup) -> Markup:
    inside = joined(part for part in parts if part)
    return element("section", element("h2", title), inside)


def _header(report: Report) -> Markup:
    problems = report.problems()
    verdict = (
        element("p", "All is well.", class_="verdict good")
        if not problems
        else element("p", "Not all is well.", class_="verdict bad")
    )
    return element(
        "header",
        element("p", "penstock demo", class_="kicker"),
        element("h1", f"{counted(report.calls, 'sandboxed call')} in {calls.spoken(report.took_s)}"),
        element(
            "p",
            "Python's standard library, measured and outlined by tools that could do nothing else: "
            "each is a WebAssembly component in C, JavaScript or Python, with limits on its time and memory "
            "and no access to anything.",
            class_="lead",
        ),
        verdict,
    )


def _headline(report: Report) -> Markup:
    totals = report.totals()
    caught = sum(one.as_expected for one in report.hostile)
    numbers = [
        ("files", f"{totals['files']:,}"),
        ("of source", size(totals["bytes"])),
        ("lines", f"{totals['lines']:,}"),
        ("functions", f"{len(functions(report.outlines)):,}"),
        *((f"{one.tool} a second", f"{one.per_second:,.0f}") for one in report.runs),
        ("hostile calls stopped", f"{caught} of {len(report.hostile)}"),
    ]
    return element(
        "dl",
        joined(element("div", element("dt", name), element("dd", value)) for name, value in numbers),
        class_="tiles",
    )


def _notes(report: Report) -> Markup:
    lines = [element("li", note) for note in notes(report)]
    lines += [element("li", problem, class_="problem") for problem in report.problems()]
    return element("ul", joined(lines), class_="notes") if lines else Markup("")
