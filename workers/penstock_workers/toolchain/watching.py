"""Notices when a plugin's sources change, by looking again and again: there are few files to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from penstock_plugins.bundle import MANIFEST_NAME

#: What an artifact is built from, beside `src/`.
_FILES = (MANIFEST_NAME, "package.json", "package-lock.json", "requirements.txt")


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


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Time and size of each source that is there."""
    state = {}
    for path in [*(folder / name for name in _FILES), *(folder / "src").rglob("*")]:
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file() and "__pycache__" not in path.parts:
            state[str(path)] = (about.st_mtime_ns, about.st_size)
    return state
