"""The calls of one tool over a list of files: what came back, when, and whether all of it did. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.demo.corpus import SourceFile
from penstock_plugins.result import ToolResult

#: Failures that are named; the others are counted.
_NAMED = 3


@dataclass(slots=True)
class Calls:
    """What became of each file. It grows while the calls end."""

    tool: str
    #: As they were sent; a result's index is the position here.
    files: Sequence[SourceFile] = ()
    results: dict[int, ToolResult] = field(default_factory=dict)
    #: Seconds from the demo's start to the first call's submission.
    began_s: float = 0.0
    #: Seconds from the first call's submission to each result's arrival here, in the order of arrival.
    ended_s: list[float] = field(default_factory=list)
    #: Calls that failed, and rightly so.
    excused: set[int] = field(default_factory=set)

    def add(self, result: ToolResult, *, at_s: float) -> None:
        """A call has ended."""
        self.results[result.index or 0] = result
        self.ended_s.append(at_s)

    @property
    def took_s(self) -> float:
        """Seconds to the last result, the reading of the files included."""
        return self.ended_s[-1] if self.ended_s else 0.0

    @property
    def per_second(self) -> float:
        """Calls, over the whole run."""
        return len(self.results) / max(self.took_s, 1e-9)

    def measured(self) -> Iterator[tuple[SourceFile, ToolResult]]:
        """What succeeded, in the files' order."""
        for index, result in sorted(self.results.items()):
            if result.success:
                yield self.files[index], result

    def answers(self) -> list[tuple[SourceFile, dict[str, Any]]]:
        """What the tool said about each file."""
        return [(file, result.data) for file, result in self.measured() if isinstance(result.data, dict)]

    def failures(self) -> list[tuple[SourceFile, ToolResult]]:
        """What failed and should not have."""
        return [
            (self.files[index], result)
            for index, result in sorted(self.results.items())
            if not result.success and index not in self.excused
        ]

    def problems(self) -> list[str]:
        """Files without a result, and failures."""
        missing = len(self.files) - len(self.results)
        found = [f"{self.tool}: {missing} files have no result"] if missing else []
        failed = self.failures()
        for file, result in failed[:_NAMED]:
            error = result.error
            what = f"{error.code}: {error.message}" if error else "failed"
            found.append(f"{self.tool} of {file.name}: {what}")
        if len(failed) > _NAMED:
            found.append(f"and {len(failed) - _NAMED} more calls of {self.tool} failed")
        return found
