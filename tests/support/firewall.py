"""The machine's packet filter, put back as it was: a Docker engine leaves its rules there when it ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
#: The tables that Docker writes, and what they are when nobody has written them.
_UNTOUCHED = {"filter": "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", "nat": "*nat\nCOMMIT\n"}


class Firewall:
    """Its rules, and whether packets are forwarded, at one moment."""

    def __init__(self) -> None:
        """Remember them."""
        self._rules = {name: _run("iptables-save", "-t", name) or _UNTOUCHED[name] for name in _UNTOUCHED}
        self._forwarding = _FORWARDING.read_text()

    def restore(self) -> None:
        """Put them back, unless the machine has an engine of its own, which goes on."""
        if any(":DOCKER" in rules for rules in self._rules.values()):
            return
        for rules in self._rules.values():
            _run("iptables-restore", standard_input=rules)
        _FORWARDING.write_text(self._forwarding)


def _run(*command: str, standard_input: str = "") -> str:
    path = f"{os.environ['PATH']}:/usr/sbin"
    done = subprocess.run(
        command, input=standard_input, capture_output=True, text=True, check=True, env={"PATH": path}
    )
    return done.stdout
