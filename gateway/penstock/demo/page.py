"""The demo's last page: what happened, for people to look at."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from penstock.cli.console import BAD, GOOD, NAME, NUMBER, QUIET, WARN
from penstock.cli.words import counted, size, span
from penstock.demo.notes import notes
from penstock.demo.outlines import functions
from penstock.demo.report import Report, Stopped

#: Columns of the longest bar.
_BAR_WIDTH = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"
_TOP = 5


def show(report: Report, console: Console) -> None:
    """Print the page."""
    console.print(
        Padding(
            Group(_headline(report), Text(), _chart(report), Text(), _tops(report), *_notes(report)),
            (1, 2, 0, 2),
            expand=False,
        )
    )


def describe(stopped: Stopped) -> Text:
    """One line about a hostile call, for the moment in which it has ended."""
    error = stopped.result.error
    how = error.code.value if error else "it was NOT stopped"
    if error and not stopped.as_expected:
        how += f": {error.message}"
    return Text.assemble(
        ("  ✂ ", GOOD if stopped.as_expected else BAD),
        (stopped.result.tool, NAME),
        f"  {how}",
        (
            f"  after {span(stopped.took_s)}; {counted(stopped.meanwhile, 'other call')} ended meanwhile",
            QUIET,
        ),
    )


def bar(share: float, width: int = _BAR_WIDTH) -> str:
    """A bar as long as its share of the width, to an eighth of a column."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if share > 0:
        eighths = max(eighths, 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _headline(report: Report) -> RenderableType:
    totals = report.totals()
    line = Text.assemble(
        (counted(totals["files"], "file"), NUMBER),
        "  ",
        (size(totals["bytes"]), NUMBER),
        "  ",
        (f"{totals['lines']:,} lines", NUMBER),
    )
    second = Text.assemble(
        (counted(report.calls, "sandboxed call"), NUMBER),
        (
            "   in fresh WebAssembly instances, one a call or batch"
            if report.batched
            else "   each in a fresh WebAssembly instance",
            QUIET,
        ),
    )
    rates = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right"):
        rates.add_column(justify=justify)
    for calls in report.runs:
        rates.add_row(
            Text(calls.tool, NAME),
            counted(len(calls.results), "call"),
            f"in {span(calls.took_s)}",
            Text(f"{calls.per_second:,.0f} calls/s", GOOD),
        )
    return Group(line, second, rates)


def _chart(report: Report) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style=QUIET)
    table.add_column(min_width=_BAR_WIDTH)
    table.add_column(justify="right")
    ranges = report.ranges()
    most = max((count for _, count in ranges), default=0) or 1
    for name, count in ranges:
        table.add_row(name, Text(bar(count / most), "cyan"), f"{count:,}")
    return Group(Text("Lines in a file", NUMBER), table)


def _tops(report: Report) -> RenderableType:
    largest, commented = Table.grid(padding=(0, 1)), Table.grid(padding=(0, 1))
    for table in (largest, commented):
        table.add_column(justify="right", style=NUMBER)
        table.add_column(overflow="ellipsis", no_wrap=True)
    for name, lines in report.largest(_TOP):
        largest.add_row(f"{lines:,}", name)
    for name, ratio in report.most_commented(_TOP):
        commented.add_row(f"{ratio:.0%}", name)
    side_by_side = Table.grid(padding=(0, 4))
    side_by_side.add_row(Text("Longest, in lines", NUMBER), Text("Most commented", NUMBER))
    side_by_side.add_row(largest, commented)
    return Group(side_by_side, *_complex(report))


def _complex(report: Report) -> list[RenderableType]:
    found = functions(report.outlines)
    if not found:
        return []
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style=NUMBER)
    table.add_column(overflow="ellipsis", no_wrap=True)
    for function in sorted(found, key=lambda function: -function.complexity)[:_TOP]:
        where = Text.assemble(function.name, (f"  {function.file.name}:{function.line}", QUIET))
        table.add_row(f"{function.complexity:,}", where)
    return [Text(), Text(f"Most complex of {counted(len(found), 'function')}, in paths", NUMBER), table]


def _notes(report: Report) -> list[Text]:
    lines = [Text(note, QUIET) for note in notes(report)]
    lines += [Text.assemble(("✘ ", BAD), (problem, WARN)) for problem in report.problems()]
    return [Text(), *lines] if lines else []
