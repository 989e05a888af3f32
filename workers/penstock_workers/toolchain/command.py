"""A program of a toolchain, run to its end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock_plugins.errors import BuildError

#: Seconds for putting a plugin's code into a component: what stands outside of its functions runs then.
START_LIMIT_S = 300.0

#: Where a program was itself when it said something about an author's sources is not told.
_QUIET = {"RUST_BACKTRACE": "0", "RUST_LIB_BACKTRACE": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program of a toolchain."""

    arguments: tuple[str, ...]
    #: What its environment has beside ours.
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *arguments: str,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        starts_plugin: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end; what it writes is in the answer.

        Raises:
            BuildError: it `starts_plugin`, took longer than that may take, and was ended.
        """
        try:
            return subprocess.run(
                [*self.arguments, *arguments],
                cwd=cwd,
                env={**os.environ, **_QUIET, **self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
                timeout=START_LIMIT_S if starts_plugin else None,
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(
                f"The plugin's code was still starting after {START_LIMIT_S:g} s: what stands outside of"
                " functions runs when the plugin is built, and must come to an end"
            ) from error
