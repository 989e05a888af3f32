"""The demo's input: the .py files of the running Python's standard library, as params of `text.stats`."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

#: Not part of the standard library, though in its folder.
_NOT_OURS = frozenset({"site-packages", "dist-packages", "__pycache__"})
#: Bytes of the params beside the text, generously.
_ROOM_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file as it was sent."""

    #: Relative to its folder. Bytes of it that are no text are escaped.
    name: str
    size_bytes: int
    path: Path = Path()
    #: Not UTF-8: sent with replacement characters.
    replaced: bool = False
    #: Larger than a call's params may be: only its beginning was sent.
    cut: bool = False


@dataclass(slots=True)
class Corpus:
    """The files of a folder. Reading it again gives the same rows; `files` grows as they are read."""

    folder: Path
    #: Bytes of a call's params at most, as JSON.
    params_bytes: int
    #: What was read so far, in order: the row's index is the position here.
    files: list[SourceFile] = field(default_factory=list)

    def paths(self) -> list[Path]:
        """Every .py file, sorted by name."""
        found: list[Path] = []
        for where, folders, names in os.walk(self.folder):
            folders[:] = sorted(set(folders) - _NOT_OURS)
            found += [Path(where, name) for name in names if name.endswith(".py")]
        return sorted(path for path in found if path.is_file())

    def rows(self, paths: list[Path]) -> Iterator[dict[str, Any]]:
        """The params for each path."""
        for path in paths:
            raw = path.read_bytes()
            text = raw.decode(errors="replace")
            sent = fitting(text, self.params_bytes - _ROOM_BYTES)
            self.files.append(
                replace(
                    source_file(path, self.folder, size_bytes=len(raw)),
                    replaced="\ufffd" in text and not _is_utf8(raw),
                    cut=len(sent) < len(text),
                )
            )
            yield {"text": sent, "comment_prefix": "#"}


def standard_library() -> Path:
    """The folder of the running Python's standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def source_file(path: Path, folder: Path, *, size_bytes: int) -> SourceFile:
    """A file of a folder, as reports name it."""
    name = str(path.relative_to(folder)).encode(errors="backslashreplace").decode()
    return SourceFile(name=name, size_bytes=size_bytes, path=path.absolute())


def spread(paths: list[Path], count: int) -> list[Path]:
    """At most that many of the paths, evenly from all of them."""
    if count >= len(paths):
        return paths
    return [paths[number * len(paths) // count] for number in range(count)]


def fitting(text: str, limit_bytes: int) -> str:
    """The text, or as many of its first whole lines as fit into that many bytes of JSON."""
    if len(orjson.dumps(text)) <= limit_bytes:
        return text
    kept = used = 0
    for line in text.splitlines(keepends=True):
        used += len(orjson.dumps(line)) - 2
        if used > limit_bytes - 2:
            break
        kept += len(line)
    return text[:kept]


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
