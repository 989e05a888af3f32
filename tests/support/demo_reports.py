"""Reports of a demo that did not run, with texts that would like to."""

from __future__ import annotations

from typing import Any

from penstock.demo.corpus import SourceFile
from penstock.demo.report import Report, Stopped, Wait
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ResultMetadata, ToolFailure, ToolResult


def result_of(tool: str, index: int, data: Any, *, took_ms: float = 1.0) -> ToolResult:
    """A call that went well."""
    return ToolResult(
        call_id=f"j.{index}",
        tool=tool,
        success=True,
        data=data,
        index=index,
        metadata=ResultMetadata(execution_ms=took_ms, queued_ms=2.0),
    )


def stopped(
    tool: str, code: ErrorCode, message: str = "The call was stopped", took_s: float = 1.0
) -> Stopped:
    """A hostile call."""
    failure = ToolFailure(code=code, message=message)
    result = ToolResult(call_id="h.0", tool=tool, success=False, error=failure)
    return Stopped(result=result, at_s=2.5, took_s=took_s, meanwhile=5)


def report_of(count: int, *, name: str = "", message: str = "stopped", html: str = "<p>Hi</p>") -> Report:
    """A report on so many sources of growing size and complexity.

    Args:
        count: sources.
        name: in the names of files and functions.
        message: of the hostile calls.
        html: what a document became.
    """
    report = Report(documents_of="a test")
    files = [SourceFile(name=f"{name}{number}.py", size_bytes=10) for number in range(count)]
    for calls in report.stats, report.outlines:
        calls.files = files
    report.stats.began_s, report.outlines.began_s = 2.0, 9.0
    for number in range(count):
        stats = {"bytes": 10, "lines": 10 * number + 1, "words": 3, "comment_ratio": 0.1}
        took_ms = 0.1 * (number + 1)
        at_s = 0.1 * (number + 1)
        report.stats.add(result_of("text.stats", number, stats, took_ms=took_ms), at_s=at_s)
        outline = {
            "classes": 0,
            "functions": 1,
            "complexity": 1,
            "max_complexity": number + 1,
            "found": [[f"{name}function", 7, number + 1]],
        }
        report.outlines.add(result_of("code.outline", number, outline, took_ms=9 * took_ms), at_s=5 * at_s)
    report.documents.files = [SourceFile(name=f"{name}README.md", size_bytes=10)]
    report.documents.began_s = 8.0
    report.documents.add(result_of("markdown.to_html", 0, {"html": html}), at_s=0.5)
    report.waits = [Wait(what="The system starts", began_s=0.0, took_s=2.0)]
    report.hostile = [
        stopped("hostile.loop", ErrorCode.TIMEOUT, message),
        stopped("hostile.hog", ErrorCode.OUT_OF_MEMORY, message, took_s=0.2),
    ]
    return report
