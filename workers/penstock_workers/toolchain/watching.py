"""Notices when a plugin's sources change, by looking again and again: there are few files to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from penstock_plugins.bundle import MANIFEST_NAME

#: What an artifact is built from, beside `src/` and the manifest.
_FILES = ("package.json", "package-lock.json", "requirements.txt")


def changes(folder: Path, *, pause: Callable[[], object]) -> Iterator[None]:
    """Yields once at the beginning, and once whenever a source has changed.

    Args:
        folder: a plugin folder.
        pause: waits between two looks. What it raises ends the watch.
    """
    seen = None
    while True:
        now = _state(folder)
        if now != seen:
            # Taken before the build: what changes during it is built again.
            seen = now
            yield
        pause()


def source_files(folder: Path) -> list[Path]:
    """What an artifact is built from, the manifest aside."""
    return [path for path in _found(folder) if path.is_file()]


def no_files(folder: Path) -> list[Path]:
    """What stands where an artifact's sources do, and would hold up who reads it: FIFOs, devices, sockets."""
    found = [folder / MANIFEST_NAME, *_found(folder)]
    return [path for path in found if path.exists() and not path.is_file() and not path.is_dir()]


def _found(folder: Path) -> list[Path]:
    found = [*(folder / name for name in _FILES), *(folder / "src").rglob("*")]
    return [path for path in found if "__pycache__" not in path.parts]


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Time and size of each source that is there, and of what is none: its author takes it away again."""
    state = {}
    for path in [folder / MANIFEST_NAME, *source_files(folder), *no_files(folder)]:
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        state[str(path)] = (about.st_mtime_ns, about.st_size)
    return state
