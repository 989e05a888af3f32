"""Running a command to its end, with what it said in the error when it fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def output_of(
    argv: Sequence[str | os.PathLike[str]],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 240.0,
) -> str:
    """What the command writes to its standard output.

    Args:
        argv: the command; no shell is involved.
        folder: where it runs. None: here.
        environment: on top of this process's own.
        timeout_s: generous; it is killed then.

    Raises:
        AssertionError: it failed; with all that it wrote.
    """
    done = subprocess.run(
        argv,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode != 0:
        command = " ".join(os.fspath(part) for part in argv)
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
