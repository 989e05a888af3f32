"""What the demo found out."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from penstock.demo.corpus import SourceFile
from penstock.demo.page import bar, show
from penstock.demo.report import Report, Stopped
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure, ToolResult


def stats(lines: int = 1, comment_ratio: float = 0.0, size: int = 10) -> dict[str, Any]:
    """What `text.stats` returns."""
    return {
        "bytes": size,
        "lines": lines,
        "words": 2,
        "longest_line": 5,
        "comment_ratio": comment_ratio,
        "entropy": 4.0,
    }


def success(index: int, **measured: Any) -> ToolResult:
    """A call that went well."""
    return ToolResult(
        call_id=f"j.{index}", tool="text.stats", success=True, data=stats(**measured), index=index
    )


def failure(tool: str, code: ErrorCode, index: int | None = None) -> ToolResult:
    """A call that did not."""
    return ToolResult(
        call_id="j.0",
        tool=tool,
        success=False,
        error=ToolFailure(code=code, message="stopped"),
        index=index,
    )


def both_stopped() -> list[Stopped]:
    """The hostile calls as they should end."""
    return [
        Stopped(result=failure("hostile.loop", ErrorCode.TIMEOUT), at_s=3.0, took_s=1.0, meanwhile=5),
        Stopped(result=failure("hostile.hog", ErrorCode.OUT_OF_MEMORY), at_s=3.0, took_s=0.1, meanwhile=1),
    ]


def report_of(*results: ToolResult, files: list[SourceFile] | None = None) -> Report:
    """A report on that many files of ten bytes."""
    report = Report()
    report.stats.files = files or [SourceFile(name=f"f{n}.py", size_bytes=10) for n in range(len(results))]
    for result in results:
        report.stats.add(result, at_s=2.0)
    report.hostile = both_stopped()
    return report


def test_a_run_without_problems_has_none() -> None:
    """Every file measured, both hostile calls stopped by the limit they ran into."""
    report = report_of(success(0, lines=3), success(1, lines=4))

    assert report.problems() == []
    assert report.totals() == {"files": 2, "bytes": 20, "lines": 7, "words": 4}
    assert (report.calls, report.stats.per_second) == (2, 1.0)


def test_every_kind_of_trouble_is_a_problem() -> None:
    """Missing, failed, measured wrongly; and hostile calls that came back in another way."""
    files = [SourceFile(name=f"f{n}.py", size_bytes=10) for n in range(3)]
    report = report_of(failure("text.stats", ErrorCode.TRAP, 0), success(1, size=9), files=files)
    report.hostile = [
        Stopped(result=failure("hostile.loop", ErrorCode.TRAP), at_s=3.0, took_s=1.0, meanwhile=0)
    ]
    report.troubles.append("code could not be published: no room")

    assert report.problems() == [
        "code could not be published: no room",
        "text.stats: 1 files have no result",
        "text.stats of f0.py: TRAP: stopped",
        "1 files were measured wrongly, f1.py first",
        "hostile.loop did not end with TIMEOUT",
        "hostile.hog did not end with OUT_OF_MEMORY",
    ]


def test_an_empty_library_is_a_problem() -> None:
    """Some Pythons come without their sources."""
    assert report_of().problems() == ["no .py file was found in the standard library"]


def test_what_was_changed_on_the_way_is_not_held_against_the_guest() -> None:
    """Replacement characters and cut files have other lengths."""
    files = [
        SourceFile(name="a.py", size_bytes=10, replaced=True),
        SourceFile(name="b.py", size_bytes=10, cut=True),
    ]

    assert report_of(success(0, size=12), success(1, size=5), files=files).problems() == []


def test_files_are_ranked_and_counted() -> None:
    """Short files do not lead the list of the most commented."""
    report = report_of(
        success(0, lines=10, comment_ratio=0.9),
        success(1, lines=120, comment_ratio=0.2),
        success(2, lines=50, comment_ratio=0.1),
        success(3, lines=4000, comment_ratio=0.3),
    )

    assert report.largest(2) == [("f3.py", 4000), ("f1.py", 120)]
    assert report.most_commented(5) == [("f3.py", 0.3), ("f1.py", 0.2)]
    assert dict(report.ranges()) == {
        "0 to 49": 1,
        "50 to 99": 1,
        "100 to 199": 1,
        "200 to 399": 0,
        "400 to 799": 0,
        "800 to 1,599": 0,
        "1,600 to 3,199": 0,
        "3,200 +": 1,
    }


def test_there_is_one_row_for_each_file() -> None:
    """Whatever came of it."""
    files = [
        SourceFile(name="a.py", size_bytes=10, replaced=True),
        SourceFile(name="b.py", size_bytes=10),
        SourceFile(name="c.py", size_bytes=10),
    ]
    report = report_of(success(0), failure("text.stats", ErrorCode.TRAP, 1), files=files)

    rows = report.rows()

    assert [row["file"] for row in rows] == ["a.py", "b.py", "c.py"]
    assert rows[0]["replaced"] is True
    assert rows[0]["lines"] == 1
    assert rows[1]["error"]["code"] == "TRAP"
    assert rows[2]["error"] == {"message": "no result"}


def test_a_row_has_the_outline_in_short() -> None:
    """Or why there is none; a file that was not sent has none at all."""
    report = report_of(success(0), success(1), success(2))
    report.outlines.files = report.stats.files[:2]
    counts = {"classes": 0, "functions": 1, "complexity": 2, "max_complexity": 3}
    outline = ToolResult(
        call_id="k.0",
        tool="code.outline",
        success=True,
        data={**counts, "found": [["f", 1, 3]]},
        index=0,
    )
    report.outlines.add(outline, at_s=1.0)

    rows = report.rows()

    assert rows[0]["outline"] == counts
    assert rows[1]["outline"] == {"error": {"message": "no result"}}
    assert "outline" not in rows[2]


def test_a_bar_is_as_long_as_its_share() -> None:
    """To an eighth of a column, and never invisible when there is something."""
    assert bar(1.0, 4) == "████"
    assert bar(0.5, 4) == "██"
    assert bar(0.53, 4) == "██▏"
    assert bar(0.0001, 4) == "▏"
    assert bar(0.0, 4) == ""


def test_the_page_says_what_happened() -> None:
    """Without colours where there is no terminal."""
    console = Console(width=100, record=True, force_terminal=False, highlight=False)

    show(report_of(success(0, lines=150, comment_ratio=0.25), success(1, lines=2)), console)

    page = console.export_text()
    assert "2 files  20 B  152 lines" in page
    assert "2 sandboxed calls" in page
    assert "text.stats  2 calls  in 2.0 s  1 calls/s" in page
    assert "25% f0.py" in page
    assert "2 hostile calls stopped by a limit in the midst of it" in page
    assert "\x1b" not in page
