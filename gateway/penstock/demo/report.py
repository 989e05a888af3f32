"""What the demo found out: collected call by call, checked, and put into numbers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from penstock.demo.calls import Calls
from penstock.demo.corpus import SourceFile
from penstock.demo.whole import Skipped
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolResult

#: Upper ends of the chart's ranges, in lines of code.
RANGES = (50, 100, 200, 400, 800, 1600, 3200)
#: Shorter files say little about how much people comment.
_LEAST_LINES = 100

#: How each hostile tool must end.
EXPECTED = {"hostile.loop": ErrorCode.TIMEOUT, "hostile.hog": ErrorCode.OUT_OF_MEMORY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A hostile call, and what went on meanwhile."""

    result: ToolResult
    #: Seconds from the demo's start to its submission.
    at_s: float
    #: Seconds from its submission to its result.
    took_s: float
    #: Other calls that ended in that time.
    meanwhile: int

    @property
    def as_expected(self) -> bool:
        """Whether it was stopped, and by the limit that it ran into."""
        error = self.result.error
        return error is not None and error.code == EXPECTED.get(self.result.tool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A time in which no calls were made."""

    what: str
    #: Seconds from the demo's start.
    began_s: float
    took_s: float


@dataclass(slots=True)
class Report:
    """Everything that the demo shows at its end."""

    stats: Calls = field(default_factory=lambda: Calls("text.stats"))
    outlines: Calls = field(default_factory=lambda: Calls("code.outline"))
    documents: Calls = field(default_factory=lambda: Calls("markdown.to_html"))
    #: Where the documents are from.
    documents_of: str = ""
    #: Sources that `code.outline` cannot take.
    skipped: list[Skipped] = field(default_factory=list)
    hostile: list[Stopped] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    #: What kept the demo from making calls at all, a sentence each.
    troubles: list[str] = field(default_factory=list)

    @property
    def runs(self) -> tuple[Calls, ...]:
        """The calls of each tool that was called."""
        return tuple(calls for calls in (self.stats, self.documents, self.outlines) if calls.files)

    @property
    def calls(self) -> int:
        """Of all tools, the hostile ones left out."""
        return sum(len(calls.results) for calls in self.runs)

    @property
    def took_s(self) -> float:
        """Seconds from the demo's start to its last result."""
        parts: list[Wait | Calls] = [*self.waits, *self.runs]
        return max((part.began_s + part.took_s for part in parts), default=0.0)

    @property
    def batched(self) -> int:
        """Calls that shared an instance with others of their tool, one after the other."""
        return sum(result.metadata.batched > 0 for calls in self.runs for result in calls.results.values())

    def problems(self) -> list[str]:
        """Everything that is not as it must be; none when the demo has succeeded."""
        found = [] if self.stats.files else ["no .py file was found in the standard library"]
        found += self.troubles
        for calls in self.runs:
            found += calls.problems()
        wrong = [file.name for file, stats in self.stats.answers() if not _plausible(file, stats)]
        if wrong:
            found.append(f"{len(wrong)} files were measured wrongly, {wrong[0]} first")
        for name, code in EXPECTED.items():
            if not any(stopped.result.tool == name and stopped.as_expected for stopped in self.hostile):
                found.append(f"{name} did not end with {code}")
        return found

    def totals(self) -> dict[str, int]:
        """Sums over all files: files, bytes, lines, words."""
        measured = self.stats.answers()
        return {
            "files": len(measured),
            "bytes": sum(file.size_bytes for file, _ in measured),
            "lines": sum(stats["lines"] for _, stats in measured),
            "words": sum(stats["words"] for _, stats in measured),
        }

    def largest(self, count: int) -> list[tuple[str, int]]:
        """The files with the most lines."""
        ranked = sorted(self.stats.answers(), key=lambda pair: -pair[1]["lines"])
        return [(file.name, stats["lines"]) for file, stats in ranked[:count]]

    def most_commented(self, count: int) -> list[tuple[str, float]]:
        """The files with the largest share of comment lines, short ones left out."""
        ranked = sorted(
            (pair for pair in self.stats.answers() if pair[1]["lines"] >= _LEAST_LINES),
            key=lambda pair: -pair[1]["comment_ratio"],
        )
        return [(file.name, stats["comment_ratio"]) for file, stats in ranked[:count]]

    def ranges(self) -> list[tuple[str, int]]:
        """How many files have how many lines."""
        counts = [0] * (len(RANGES) + 1)
        for _, stats in self.stats.answers():
            counts[sum(stats["lines"] >= end for end in RANGES)] += 1
        lows = (0, *RANGES)
        names = [f"{low:,} to {high - 1:,}" for low, high in zip(lows, RANGES, strict=False)]
        return list(zip([*names, f"{RANGES[-1]:,} +"], counts, strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """One for each file, in the corpus's order, for demo-results.jsonl."""
        outlines = {file.name: result for file, result in self._outlined()}
        shapes = []
        for index, file in enumerate(self.stats.files):
            shape: dict[str, Any] = {"file": file.name, "file_bytes": file.size_bytes}
            if file.replaced:
                shape["replaced"] = True
            if file.cut:
                shape["cut"] = True
            shape.update(_shape(self.stats.results.get(index)))
            if file.name in outlines:
                shape["outline"] = _shape(outlines[file.name])
            shapes.append(shape)
        return shapes

    def _outlined(self) -> list[tuple[SourceFile, ToolResult | None]]:
        return [(file, self.outlines.results.get(index)) for index, file in enumerate(self.outlines.files)]


def _shape(result: ToolResult | None) -> dict[str, Any]:
    if result is None:
        return {"error": {"message": "no result"}}
    if result.error is not None:
        return {"error": result.error.to_dict()}
    return {name: value for name, value in result.data.items() if name != "found"}


def _plausible(file: SourceFile, stats: dict[str, Any]) -> bool:
    """The guest counted as many bytes as the file has, where it got the file as it is."""
    return file.replaced or file.cut or stats.get("bytes") == file.size_bytes
