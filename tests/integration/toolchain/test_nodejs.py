"""Machines without a Node.js, or with an old one: plugins in JavaScript are built all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_plugins.errors import BuildError
from penstock_workers import Executor
from penstock_workers.toolchain.build import build_plugin
from penstock_workers.toolchain.example_calls import read_examples, run_examples
from penstock_workers.toolchain.new_project import new_plugin
from penstock_workers.toolchain.nodejs import LEAST_NODE, NODE, Node, find_node, npm
from tests.support.ports import free_port


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(program: Path, says: str) -> None:
    """Write a program that says this, whatever it is asked."""
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)


def version_of(node: Node) -> str:
    """What the Node.js says that was installed for npm."""
    return node.program(Path(node.npm[0])).run("--version", cwd=Path("/")).stdout.strip()


def test_a_machine_without_node_builds_javascript(tmp_path: Path, programs: Path) -> None:
    """With one that is installed by name, as other compilers are; packages of npm are inside as well."""
    folder = tmp_path / "greeter"
    new_plugin("greeter", "js", folder)
    package = folder / "package.json"
    package.write_text(package.read_text().replace('"dependencies": {}', '"dependencies": {"ms": "2.1.3"}'))
    source = folder / "src" / "plugin.js"
    source.write_text('import ms from "ms";\n' + source.read_text() + 'globalThis.hour = ms("1h");\n')

    build_plugin(folder)

    with Executor.local(folder, cache_dir=tmp_path / "cache") as executor:
        assert [one.difference for one in run_examples(read_examples(folder), executor)] == ["", "", ""]


@pytest.mark.parametrize("says", ["v16.20.2", "no version is set", ""])
def test_a_node_that_is_too_old_is_passed_over(says: str, programs: Path) -> None:
    """So is one that is none, such as the placeholder of a version manager."""
    put(programs / "node", says)
    put(programs / "npm", "10.0.0")

    node = find_node()

    assert f"{NODE.partition('==')[2]}" in version_of(node)


def test_the_machines_own_node_comes_first(programs: Path) -> None:
    """Where it is new enough."""
    put(programs / "node", f"v{LEAST_NODE}.0.0")
    put(programs / "npm", "10.0.0")

    assert find_node() == Node(npm=("npm",))


def test_node_without_npm_is_none(programs: Path) -> None:
    """Debian has them in two packages."""
    put(programs / "node", f"v{LEAST_NODE}.0.0")

    node = find_node()

    assert node.npm != ("npm",)
    with pytest.raises(BuildError, match="npm could not install"):
        npm(node, ["install", "--registry", f"http://127.0.0.1:{free_port()}/", "ms@2.1.3"], programs)


def test_without_node_and_network_the_error_says_what_to_do(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Install it, or let PyPI be reached."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{free_port()}/simple")
    said: list[str] = []

    with pytest.raises(BuildError) as failed:
        find_node(said.append)

    assert said == [f"Installing {NODE} from PyPI, once: there is no Node.js 18 or newer with npm here"]
    assert str(failed.value).startswith(
        "Building JavaScript plugins needs Node.js 18 or newer, with npm: install the package 'nodejs'"
    )
    assert "The registry cannot be reached" in str(failed.value)
