"""The tutorial: every command and program of docs/pipelines.md runs as it stands there, in its order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_plugins.pipelines.files import read_pipeline
from penstock_plugins.shipped import shipped_plugins
from tests.support.command_line import Up
from tests.support.commands import output_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "pipelines.md").read_text()
README = (ROOT / "README.md").read_text()
SUMMARY = shipped_plugins() / "repository" / "summary.yaml"
#: Compiling Python's and JavaScript's plugins takes long.
_TIMEOUT_S = 280.0


def blocks(text: str, language: str) -> list[str]:
    """What is written in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A system with the plugins that the tutorial uses."""
    folder = tmp_path_factory.mktemp("up")
    others = [part for name in ("markdown", "code") for part in ("--plugins", shipped_plugins() / name)]
    with Up("--processes", "1", *others, folder=folder, shared=True) as up:
        yield up


@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_runs(up: Up, tmp_path: Path) -> None:
    """In a folder that looks like the source tree, with `penstock` and `python` on the PATH."""
    (tmp_path / "plugins").symlink_to(ROOT / "plugins")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "penstock").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m penstock "$@"\n')
    (bin_folder / "penstock").chmod(0o755)
    (bin_folder / "python").symlink_to(sys.executable)
    path = {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    said = []

    for block in blocks(PAGE, "sh"):
        for command in block.splitlines():
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=tmp_path,
                env={**os.environ, **up.environment, **path},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            said.append(done.stdout)

    results = [json.loads(text) for text in said if text.startswith("{")]
    in_process, queued, called = (result for result in results if "packages" in result)
    assert in_process == queued == called
    assert {package["package"] for package in called["packages"]} >= {"plugins/examples/code/src"}
    assert (tmp_path / "summary.svg").read_text().startswith("<svg")
    assert json.loads((tmp_path / "trace.json").read_text())["success"] is True


@pytest.mark.parametrize("page", [PAGE, README], ids=["tutorial", "readme"])
def test_every_pipeline_in_python_runs(page: str, up: Up, tmp_path: Path) -> None:
    """As a reader would copy it."""
    programs = [block for block in blocks(page, "python") if "Pipeline" in block]
    assert programs

    for program in programs:
        said = output_of([sys.executable, "-c", program], folder=tmp_path, environment=up.environment)
        assert sorted(said.splitlines())[0].startswith("0 False {'path': '/to-be.html'")


def test_what_the_tutorial_shows_of_the_file_is_in_it() -> None:
    """Each line, but for what it leaves out."""
    (shown,) = blocks(PAGE, "yaml")
    written = {re.sub(r"\s*#.*", "", line).strip() for line in SUMMARY.read_text().splitlines()}

    lines = {re.sub(r"\s*#.*", "", line).strip() for line in shown.splitlines()}

    assert len(lines - written) == 1  # what the catch makes is shorter
    assert read_pipeline(SUMMARY).is_composite
