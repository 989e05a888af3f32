"""Names a process so that others on its host can tell whether it still lives."""

from __future__ import annotations

import itertools
import os
import socket
from functools import cache
from pathlib import Path

_claims = itertools.count(1)


def _start_ticks(pid: int) -> str | None:
    """When the process started, in clock ticks since boot; None when there is none (or only a zombie)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            stat = file.read()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


@cache
def host_tag() -> str:
    """This host and PID namespace: within it, process ids mean the same to everybody."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    namespace = os.stat("/proc/self/ns/pid").st_ino
    return f"{socket.gethostname()}.{boot}.{namespace}"


def process_name() -> str:
    """This process: `host:pid:start`. Unlike a process id it is never used twice."""
    return _name_of(os.getpid())


@cache
def _name_of(pid: int) -> str:
    # By its id, so that a forked process does not take its parent's name.
    return f"{host_tag()}:{pid}:{_start_ticks(pid)}"


def next_holder() -> str:
    """A name for one claim by this process: `host:pid:start#n`."""
    return f"{process_name()}#{next(_claims)}"


def holder_is_gone(holder: str) -> bool:
    """Whether a lease holder certainly does not run its batch any more: its lease need not be waited for.

    That is so when it was a process of this host that has ended, or an earlier claim of this very process,
    which runs one batch at a time. Of other hosts nothing is known.
    """
    process, _, _ = holder.partition("#")
    host, _, rest = process.partition(":")
    pid, _, start = rest.partition(":")
    if host != host_tag() or not pid.isdigit():
        return False
    return int(pid) == os.getpid() or _start_ticks(int(pid)) != start
