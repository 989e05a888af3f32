"""A way through the machine's packet filter for a while: between addresses that only a test run uses."""

from __future__ import annotations

import os
import shutil
import subprocess

_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_OPEN = "-P FORWARD ACCEPT"


class Passage:
    """Lets packets pass from an address of the net to another one.

    A machine that has a Docker engine of its own, say, drops what it does not know, also between containers
    of one bridge. A filter that lets everything pass stays as it is.
    """

    def __init__(self, net: str) -> None:
        """Describe it; nothing is changed.

        Args:
            net: as `10.213.0.0/16`.
        """
        self._rule = ("FORWARD", "-s", net, "-d", net, "-j", "ACCEPT")

    def open(self) -> None:
        """Let them pass; a run that was killed may have left its rule, which then is ours."""
        self.close()
        if self._rules() not in ([], [_OPEN]):
            _run("iptables", "-w", "-I", *self._rule)

    def close(self) -> None:
        """Take the rule away, if it is there."""
        if len(self._rules()) > 1:
            while _run("iptables", "-w", "-D", *self._rule):
                continue

    @staticmethod
    def _rules() -> list[str]:
        if shutil.which("iptables", path=_PATH) is None:
            return []
        done = subprocess.run(
            ("iptables", "-w", "-S", "FORWARD"),
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": _PATH},
        )
        return done.stdout.splitlines()


def _run(*command: str) -> bool:
    done = subprocess.run(command, capture_output=True, check=False, env={"PATH": _PATH})
    return done.returncode == 0
