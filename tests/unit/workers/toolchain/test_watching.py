"""Watching a plugin's sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from penstock_workers.toolchain.watching import changes


class Pauses:
    """In each pause something else happens to the folder; after the last the watch ends."""

    def __init__(self, *events: Callable[[], object]) -> None:
        self._events = iter(events)
        self.taken = 0

    def __call__(self) -> None:
        try:
            event = next(self._events)
        except StopIteration:
            raise KeyboardInterrupt from None
        self.taken += 1
        event()


def watch(folder: Path, pauses: Pauses) -> list[int]:
    """In which pauses a change was noticed; 0 is the beginning."""
    noticed = []
    try:
        for _ in changes(folder, pause=pauses):
            noticed.append(pauses.taken)
    except KeyboardInterrupt:
        return noticed
    raise AssertionError("the watch ended by itself")


def test_it_builds_at_once_and_again_when_a_source_changes(tmp_path: Path) -> None:
    """Also when one comes or goes; not for the artifact."""
    source = tmp_path / "src" / "inner" / "more.js"
    source.parent.mkdir(parents=True)

    noticed = watch(
        tmp_path,
        Pauses(
            lambda: None,
            lambda: source.write_text("1"),
            lambda: None,
            lambda: source.write_text("22"),
            lambda: (tmp_path / "plugin.wasm").write_text("artifact"),
            lambda: (tmp_path / "plugin.toml").write_text("manifest"),
            source.unlink,
        ),
    )

    assert noticed == [0, 2, 4, 6, 7]


def test_a_pipe_among_the_sources_is_noticed_when_it_comes_and_goes(tmp_path: Path) -> None:
    """What cannot be built is told, and built when its author has taken it away. Nobody waits for it."""
    pipe = tmp_path / "src" / "pipe.c"
    pipe.parent.mkdir()

    assert watch(tmp_path, Pauses(lambda: os.mkfifo(pipe), lambda: None, pipe.unlink)) == [0, 1, 3]


def test_what_python_writes_beside_sources_is_no_change(tmp_path: Path) -> None:
    """Editors and linters make it."""
    cached = tmp_path / "src" / "__pycache__"
    cached.mkdir(parents=True)

    assert watch(tmp_path, Pauses(lambda: (cached / "x.pyc").write_text("1"))) == [0]
