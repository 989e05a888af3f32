"""Ends the process groups of a test run that was killed before it could: a script, told by standard input.

A line `+123` says that group 123 was started, `-123` that it has ended. When the input ends, whoever wrote
it is gone, and the groups that are left are killed. It needs nothing but the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable


def groups_left(lines: Iterable[str]) -> set[int]:
    """The groups that were started and not ended, when the lines are over."""
    left: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            left.add(group)
        else:
            left.discard(group)
    return left


def main() -> None:
    """Read to the end, then kill what is left."""
    for awaited in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(awaited, signal.SIG_IGN)  # they are meant for the tests; the end of input is for us
    for group in groups_left(sys.stdin):
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
