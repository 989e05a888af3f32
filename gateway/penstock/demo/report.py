"""What the demo found out: collected call by call, checked, and put into numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.demo.corpus import SourceFile
from penstock_plugins.errors import ErrorCode
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
    #: Seconds from its submission to its result.
    took_s: float
    #: Other calls that ended in that time.
    meanwhile: int

    @property
    def as_expected(self) -> bool:
        """Whether it was stopped, and by the limit that it ran into."""
        error = self.result.error
        return error is not None and error.code == EXPECTED.get(self.result.tool)


@dataclass(slots=True)
class Report:
    """Everything that the demo shows at its end."""

    #: As the corpus read them; a result's index is the position here.
    files: Sequence[SourceFile]
    results: dict[int, ToolResult] = field(default_factory=dict)
    hostile: list[Stopped] = field(default_factory=list)
    took_s: float = 0.0

    def add(self, result: ToolResult) -> None:
        """A call has ended."""
        self.results[result.index or 0] = result

    @property
    def calls_per_second(self) -> float:
        """Over the whole run, the reading of the files included."""
        return len(self.results) / max(self.took_s, 1e-9)

    def problems(self) -> list[str]:
        """Everything that is not as it must be; none when the demo has succeeded."""
        found = [] if self.files else ["no .py file was found in the standard library"]
        missing = len(self.files) - len(self.results)
        if missing:
            found.append(f"{missing} files have no result")
        failed = [result for result in self.results.values() if not result.success]
        for result in failed[:3]:
            error = result.error
            what = f"{error.code}: {error.message}" if error else "failed"
            found.append(f"{self.files[result.index or 0].name}: {what}")
        if len(failed) > 3:
            found.append(f"and {len(failed) - 3} more calls failed")
        wrong = [file.name for file, stats in self._measured() if not _plausible(file, stats)]
        if wrong:
            found.append(f"{len(wrong)} files were measured wrongly, {wrong[0]} first")
        for name, code in EXPECTED.items():
            if not any(stopped.result.tool == name and stopped.as_expected for stopped in self.hostile):
                found.append(f"{name} did not end with {code}")
        return found

    def totals(self) -> dict[str, int]:
        """Sums over all files: files, bytes, lines, words."""
        measured = self._measured()
        return {
            "files": len(measured),
            "bytes": sum(file.size_bytes for file, _ in measured),
            "lines": sum(stats["lines"] for _, stats in measured),
            "words": sum(stats["words"] for _, stats in measured),
        }

    def largest(self, count: int) -> list[tuple[str, int]]:
        """The files with the most lines."""
        ranked = sorted(self._measured(), key=lambda pair: -pair[1]["lines"])
        return [(file.name, stats["lines"]) for file, stats in ranked[:count]]

    def most_commented(self, count: int) -> list[tuple[str, float]]:
        """The files with the largest share of comment lines, short ones left out."""
        ranked = sorted(
            (pair for pair in self._measured() if pair[1]["lines"] >= _LEAST_LINES),
            key=lambda pair: -pair[1]["comment_ratio"],
        )
        return [(file.name, stats["comment_ratio"]) for file, stats in ranked[:count]]

    def ranges(self) -> list[tuple[str, int]]:
        """How many files have how many lines."""
        counts = [0] * (len(RANGES) + 1)
        for _, stats in self._measured():
            counts[sum(stats["lines"] >= end for end in RANGES)] += 1
        lows = (0, *RANGES)
        names = [f"{low:,} to {high - 1:,}" for low, high in zip(lows, RANGES, strict=False)]
        return list(zip([*names, f"{RANGES[-1]:,} +"], counts, strict=True))

    def rows(self) -> list[dict[str, Any]]:
        """One for each file, in the corpus's order, for demo-results.jsonl."""
        shapes = []
        for index, file in enumerate(self.files):
            shape: dict[str, Any] = {"file": file.name, "file_bytes": file.size_bytes}
            if file.replaced:
                shape["replaced"] = True
            if file.cut:
                shape["cut"] = True
            result = self.results.get(index)
            if result is None:
                shape["error"] = {"message": "no result"}
            elif result.error is not None:
                shape["error"] = result.error.to_dict()
            else:
                shape.update(result.data)
            shapes.append(shape)
        return shapes

    def _measured(self) -> list[tuple[SourceFile, dict[str, Any]]]:
        return [
            (self.files[index], result.data)
            for index, result in sorted(self.results.items())
            if result.success and isinstance(result.data, dict)
        ]


def _plausible(file: SourceFile, stats: dict[str, Any]) -> bool:
    """The guest counted as many bytes as the file has, where it got the file as it is."""
    return file.replaced or file.cut or stats.get("bytes") == file.size_bytes
