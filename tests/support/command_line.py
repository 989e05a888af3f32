"""The command line as a script uses it: run to its end, with its exit code and both of its outputs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from penstock_plugins.shipped import shipped_plugins
from tests.support.penstock_processes import PENSTOCK
from tests.support.processes import Process

#: Generous: it only bounds how long a broken test takes.
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as the one JSON value that it is."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`penstock` with a folder and an environment of its own."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [*PENSTOCK, *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, name: str) -> Process:
        """Start a command that the test will interrupt."""
        return Process(
            [*PENSTOCK, *arguments], name=name, folder=self.folder, environment=self.environment
        ).start()


class Up(Process):
    """`penstock up` with a state folder of its own and the plugin `text`; ready once every part of it is."""

    def __init__(self, *options: str | Path, folder: Path, shared: bool = False, **settings: str) -> None:
        """Describe it; nothing is started. `settings` are environment variables.

        Other shipped plugins are not published: compiling them takes longer than most tests.
        """
        self.state_dir = folder / "state"
        text = ("--no-shipped", "--plugins", shipped_plugins() / "text")
        super().__init__(
            [*PENSTOCK, "up", *text, *options],
            name="up",
            folder=folder,
            environment={"PENSTOCK_STATE_DIR": str(self.state_dir), **settings},
            ready="Penstock is up.",
            shared=shared,
        )

    def close(self) -> None:
        """Stop it in good order, and kill what is left then."""
        if self.running:
            with suppress(TimeoutError):
                self.stop()
        super().close()

    @property
    def cli(self) -> CommandLine:
        """The command line of whoever works beside it."""
        return CommandLine(self.folder, self.environment)

    @property
    def announced(self) -> dict[str, Any] | None:
        """What it says of itself in its state folder."""
        try:
            found: dict[str, Any] = json.loads((self.state_dir / "up.json").read_bytes())
        except FileNotFoundError:
            return None
        return found


def waits_for_results(redis_url: str) -> bool:
    """Whether anybody does: Redis holds their answer back."""
    with redis.Redis.from_url(redis_url) as client:
        return any(each["cmd"] == "xread" and "b" in each["flags"] for each in client.client_list())
