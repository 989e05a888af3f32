"""An operator's desk for crash points: short commands on one Redis, which end by themselves or are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Ledger
from tests.support.command_line import CommandLine, Done

#: Generous: it only bounds how long a broken test takes.
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Desk:
    """A Redis, and what works on it."""

    client: redis.Redis
    url: str
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        """The ledger there."""
        return Ledger(self.client, Keys())

    def cli(self, *arguments: str | Path) -> Done:
        """Run a command to its end."""
        return self._command_line()(*arguments)

    def crash_cli(self, point: str, *arguments: str | Path) -> None:
        """Run a command that ends at a crash point."""
        status = self._command_line(PENSTOCK_CRASH_AT=point)(*arguments).code
        assert status == -signal.SIGKILL, f"{point} was not reached"

    def run(self, module: str, *arguments: str, armed: str | None = None) -> None:
        """Run a module of the tests, to its end or to a crash point."""
        more = {} if armed is None else {"PENSTOCK_CRASH_AT": armed}
        roots = filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH")))
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, **self._environment(**more), "PYTHONPATH": os.pathsep.join(roots)},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == (0 if armed is None else -signal.SIGKILL), done.stderr

    def hours_ago(self, hours: int) -> int:
        """A moment so many hours ago, by Redis's clock; milliseconds."""
        return self.ledger.clock_ms() - hours * 3_600_000

    def _environment(self, **more: str) -> dict[str, str]:
        return {"PENSTOCK_REDIS_URL": self.url, "PENSTOCK_BROKER_URL": self.url, **self.settings, **more}

    def _command_line(self, **more: str) -> CommandLine:
        return CommandLine(self.folder, self._environment(**more))
