"""Ends a command when the process that started it dies: `python -m penstock.tether PID COMMAND…`.

Linux tells a process of its parent's death when it asked for that, and the wish survives `exec`; so this
asks and then becomes the command. Elsewhere the command simply runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` tied to this process.

    The kernel watches the starting thread: start it from one that lives as long as the command should.
    """
    # -P: a redis.py or celery.py in the current folder must not be imported instead of the real one.
    return [sys.executable, "-P", "-m", "penstock.tether", str(os.getpid()), *command]


def main(arguments: Sequence[str]) -> None:
    """Ask to be told, and become the command."""
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it died before we asked
            sys.exit(0)
    os.execvp(command[0], command)  # noqa: S606  # becoming the command is the point; no shell is involved


if __name__ == "__main__":
    main(sys.argv[1:])
