"""New projects: what is written, and where nothing is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from penstock_plugins.errors import BuildError
from penstock_plugins.manifest import read_manifest
from penstock_workers.toolchain.example_calls import read_examples
from penstock_workers.toolchain.new_project import new_plugin
from penstock_workers.toolchain.sources import Language, language_of


@pytest.mark.parametrize("language", get_args(Language))
def test_a_project_has_what_its_language_needs(language: Language, tmp_path: Path) -> None:
    """A manifest that can be read, examples, and sources that say what they are written in."""
    folder = tmp_path / "deep" / "greeter"

    files = new_plugin("greeter", language, folder)

    manifest = read_manifest((folder / "plugin.toml").read_bytes())
    assert (manifest.name, manifest.tools[0].name) == ("greeter", "greet")
    assert len(read_examples(folder)) == 3
    assert language_of(folder) == language
    assert {folder / ".gitignore", folder / "README.md"} < set(files)
    assert not [file for file in files if "{{" in file.read_text()]


@pytest.mark.parametrize("name", ["", "Greeter", "../x", "a b", "1a"])
def test_what_is_no_name_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    """It would become a folder, a manifest and part of every tool's name."""
    with pytest.raises(BuildError, match="is no name for a plugin"):
        new_plugin(name, "c", tmp_path / "project")

    assert not (tmp_path / "project").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder with anything in it is somebody's."""
    (tmp_path / "plugin.toml").write_text("mine")

    with pytest.raises(BuildError, match="is there already"):
        new_plugin("greeter", "js", tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["plugin.toml"]


def test_a_folder_without_sources_has_no_language(tmp_path: Path) -> None:
    """The error says where they are looked for."""
    with pytest.raises(BuildError, match=r"no src/plugin\.py, no src/plugin\.js and no C files"):
        language_of(tmp_path)
