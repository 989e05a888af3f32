"""Files that are sent whole or not at all, and why those were left out that were."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from penstock.demo.corpus import SourceFile, source_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A file that was not sent."""

    file: SourceFile
    reason: str


@dataclass(slots=True)
class WholeFiles:
    """The params of a tool for each file of a folder that fits; `files` grows as they are read."""

    folder: Path
    #: A tool's params for a text.
    params: Callable[[str], dict[str, Any]]
    #: Bytes of a call's params at most, as JSON.
    params_bytes: int
    #: What was read so far and sent, in order: the row's index is the position here.
    files: list[SourceFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def rows(self, paths: list[Path]) -> Iterator[dict[str, Any]]:
        """The params for each path that is not skipped."""
        for path in paths:
            raw = path.read_bytes()
            file = source_file(path, self.folder, size_bytes=len(raw))
            try:
                row = self.params(raw.decode("utf-8-sig"))
            except UnicodeDecodeError:
                self.skipped.append(Skipped(file=file, reason="not in UTF-8"))
                continue
            if len(orjson.dumps(row)) > self.params_bytes:
                self.skipped.append(Skipped(file=file, reason="larger than a call's params may be"))
                continue
            self.files.append(file)
            yield row
