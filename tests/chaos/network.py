"""Hosts of their own for some processes: network namespaces whose cable can be cut. Needs root and iptables.

All of them reach one address of this machine, `HUB`, by a pair of virtual interfaces each, and nothing else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

#: This run's addresses, apart from those of other runs on this machine.
_NET = f"10.199.{os.getpid() % 250 + 1}"
#: Where servers listen.
HUB = f"{_NET}.1"

#: What gets lost: everything, or only what is answered.
Cut = Literal["all", "answers"]


class Namespace:
    """One network namespace.

    Args:
        number: tells it from the others of this run, 1 to 200.
    """

    def __init__(self, number: int) -> None:
        self.name = f"chaos{os.getpid() % 10_000}n{number}"
        self._here, self._there = f"cz{os.getpid() % 10_000}a{number}", f"cz{os.getpid() % 10_000}b{number}"
        self._address = f"{_NET}.{10 + number}"

    @property
    def command(self) -> tuple[str, ...]:
        """What a command line begins with that runs in it."""
        return ("ip", "netns", "exec", self.name)

    def open(self) -> None:
        """Make it, with its cable."""
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._here, "type", "veth", "peer", "name", self._there, "netns", self.name)
        _run("ip", "link", "set", self._here, "up")
        _run("ip", "route", "add", f"{self._address}/32", "dev", self._here, "src", HUB)
        self._inside("ip", "link", "set", "lo", "up")
        self._inside("ip", "addr", "add", f"{self._address}/32", "dev", self._there)
        self._inside("ip", "link", "set", self._there, "up")
        self._inside("ip", "route", "add", f"{HUB}/32", "dev", self._there)

    def cut(self, what: Cut) -> None:
        """Let packets get lost."""
        self._inside("iptables", "-w", "-A", "INPUT", "-i", self._there, "-j", "DROP")
        if what == "all":
            self._inside("iptables", "-w", "-A", "OUTPUT", "-o", self._there, "-j", "DROP")

    def heal(self) -> None:
        """Let them pass again."""
        self._inside("iptables", "-w", "-F")

    def close(self) -> None:
        """Take it away. Processes that still run in it keep it until they end."""
        with suppress(RuntimeError):
            _run("ip", "link", "del", self._here)
        with suppress(RuntimeError):
            _run("ip", "netns", "del", self.name)

    def _inside(self, *command: str) -> None:
        _run(*self.command, *command)


@contextmanager
def hub_address() -> Iterator[None]:
    """Gives this machine the address `HUB` for a while."""
    added = True
    try:
        _run("ip", "addr", "add", f"{HUB}/32", "dev", "lo")
    except RuntimeError:
        added = False  # another run has done it, and takes it away
    try:
        yield
    finally:
        if added:
            with suppress(RuntimeError):
                _run("ip", "addr", "del", f"{HUB}/32", "dev", "lo")


def missing_network() -> str | None:
    """Why nothing can be cut here. None: it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for command in ("ip", "iptables"):
        if shutil.which(command) is None:
            return f"{command} is not installed (on Debian: apt-get install iproute2 iptables)"
    probe = Namespace(0)
    try:
        with hub_address():
            probe.open()
            probe.cut("all")
    except RuntimeError as error:
        return f"network namespaces are not permitted here: {error}"
    finally:
        probe.close()
    return None


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
