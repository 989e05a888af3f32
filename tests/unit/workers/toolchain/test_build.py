"""What is refused before any toolchain runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock_plugins.errors import BuildError
from penstock_workers.toolchain.build import build_plugin
from penstock_workers.toolchain.built_from import stale
from penstock_workers.toolchain.example_calls import read_examples
from penstock_workers.toolchain.new_project import new_plugin
from penstock_workers.toolchain.sources import Language


def put_pipe(path: Path) -> None:
    """A FIFO that nobody writes to."""
    os.mkfifo(path)


def put_link(path: Path) -> None:
    """A link to one."""
    os.mkfifo(path.parent.parent / "pipe")
    path.symlink_to(path.parent.parent / "pipe")


def put_socket(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Unix socket, from inside its folder: its path may be short only."""
    monkeypatch.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.name)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Language], Path]:
    """Makes a plugin folder, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(language: Language) -> Path:
        folder = tmp_path / "projects" / "greeter"
        new_plugin("greeter", language, folder)
        return folder

    return make


@pytest.mark.parametrize("put", [put_pipe, put_link])
@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("c", "plugin.toml"),
        ("c", "src/plugin.c"),
        ("c", "src/more.h"),
        ("js", "package.json"),
        ("js", "src/plugin.js"),
        ("python", "requirements.txt"),
        ("python", "src/more.py"),
    ],
)
def test_P1_only_regular_files_are_built(
    project: Callable[[Language], Path], language: Language, name: str, put: Callable[[Path], None]
) -> None:
    """All else is refused by its name, and nobody waits for it."""
    folder = project(language)
    (folder / name).unlink(missing_ok=True)
    put(folder / name)

    with pytest.raises(BuildError, match=rf"{name} is no regular file"):
        build_plugin(folder)
    assert stale(folder) == ""


def test_each_of_them_is_named(project: Callable[[Language], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each; what Python keeps beside sources is none of them."""
    folder = project("python")
    (folder / "src" / "__pycache__").mkdir()
    put_pipe(folder / "src" / "__pycache__" / "x.pyc")
    put_pipe(folder / "src" / "pipe")
    put_socket(folder / "src" / "socket", monkeypatch)

    with pytest.raises(BuildError) as refused:
        build_plugin(folder)

    assert sorted(line.split()[0] for line in str(refused.value).splitlines()) == [
        str(folder / "src" / "pipe"),
        str(folder / "src" / "socket"),
    ]


@pytest.mark.parametrize("name", ["plugin.toml", "examples.toml"])
def test_only_regular_files_have_examples(project: Callable[[Language], Path], name: str) -> None:
    """`penstock plugin test` waits for nobody either."""
    folder = project("c")
    (folder / name).unlink(missing_ok=True)
    put_pipe(folder / name)

    with pytest.raises(BuildError, match=rf"{name} is no regular file"):
        read_examples(folder)
