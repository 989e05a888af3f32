"""What is remembered of builds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock_workers.toolchain import built_from
from penstock_workers.toolchain.built_from import digest_of_sources, remember, stale
from penstock_workers.toolchain.new_project import new_plugin
from penstock_workers.toolchain.toolchains import toolchain_cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an artifact, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project = tmp_path / "greeter"
    new_plugin("greeter", "c", project)
    (project / "plugin.wasm").write_bytes(b"built")
    return project


def remember_now(folder: Path) -> None:
    """As a build does."""
    remember(folder, folder / "plugin.wasm", digest_of_sources(folder))


def change(path: Path, old: str, new: str) -> None:
    """Edit a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_is_said_of_what_was_built_elsewhere(folder: Path) -> None:
    """Neither without a note, nor when the artifact is another one than ours."""
    unknown = stale(folder)
    remember_now(folder)
    (folder / "plugin.wasm").write_bytes(b"from a colleague")
    (folder / "src" / "more.c").write_text("")

    assert (unknown, stale(folder)) == ("", "")


def test_sources_that_come_change_and_go_back_are_noticed(folder: Path) -> None:
    """So is what a build takes from the manifest; not what it does not take."""
    remember_now(folder)
    at_once = stale(folder)
    more = folder / "src" / "more.h"
    more.write_text("")
    added = stale(folder)
    more.unlink()
    back = stale(folder)
    (folder / "README.md").write_text("Other words")
    change(folder / "plugin.toml", "capabilities = []", 'capabilities = [ ] # "log"')
    same = stale(folder)
    change(folder / "plugin.toml", 'capabilities = [ ] # "log"', 'capabilities = ["log"]')

    assert (at_once, back, same) == ("", "", "")
    assert "run `penstock plugin build`" in added
    assert "run `penstock plugin build`" in stale(folder)


def test_only_so_many_folders_are_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest."""
    monkeypatch.setattr(built_from, "_KEPT", 1)
    remember_now(folder)
    for note in (toolchain_cache() / "built").iterdir():
        os.utime(note, (0, 0))  # two files may be written within one tick of the file system's clock
    other = folder.parent / "other"
    new_plugin("other", "c", other)
    (other / "plugin.wasm").write_bytes(b"built")
    remember_now(other)

    for project in (folder, other):
        (project / "src" / "more.c").write_text("")

    assert stale(folder) == ""
    assert stale(other) != ""
