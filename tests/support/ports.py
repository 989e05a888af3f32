"""Ports that a test's server can have, and keep over a restart."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
#: Ports under this are well known, or were given to somebody.
_LOWEST = 15_000
#: Linux gives ports from here on to outgoing connections.
_EPHEMERAL = 32_768

#: Test processes that run beside one another, and which of them this is: each has ports of its own.
_OF = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_MINE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _OF

_given: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on, never given twice by this run.

    It lies below the range of outgoing connections. In that range, a client that keeps trying to reach a
    killed server would in time connect to itself, and the server could not come back.
    """
    highest = _ephemeral_start() - 1
    while True:
        port = random.randint(_LOWEST, highest)
        if port % _OF == _MINE and port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _ephemeral_start() -> int:
    try:
        start = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return _EPHEMERAL
    return start if start > _LOWEST + 1000 else _EPHEMERAL
