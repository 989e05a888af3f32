"""What a reader of the demo's figures should know besides: how calls ran, what was left out. Pure."""

from __future__ import annotations

from collections import Counter

from penstock.cli.words import counted
from penstock.demo.report import Report


def notes(report: Report) -> list[str]:
    """A sentence or less for each."""
    found = []
    stopped = sum(call.as_expected for call in report.hostile)
    if stopped:
        found.append(f"{counted(stopped, 'hostile call')} stopped by a limit in the midst of it")
    if report.batched:
        alone = report.calls - report.batched
        found.append(
            f"{alone:,} calls had a fresh instance each; {report.batched:,} shared one with others of their "
            "batch, as their plugins allow"
        )
    replaced = sum(file.replaced for file in report.stats.files)
    if replaced:
        found.append(f"{counted(replaced, 'file')} not in UTF-8: sent with replacement characters")
    if report.outlines.excused:
        excused = counted(len(report.outlines.excused), "file")
        found.append(f"{excused} no valid Python, for us as for code.outline: to test parsers")
    for reason, count in Counter(skipped.reason for skipped in report.skipped).items():
        found.append(f"{counted(count, 'file')} not sent to code.outline: {reason}")
    cut = sum(file.cut for file in report.stats.files)
    if cut:
        found.append(
            f"{counted(cut, 'file')} larger than a call's params may be: their first lines were sent"
        )
    return found
