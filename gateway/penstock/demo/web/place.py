"""Where and how a report was made, in rows for people."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime

from penstock.machine import memory_gb, package_versions, processor, redis_version, system
from penstock.redis_binary import find_redis_server

#: What calls pass through.
_PACKAGES = ("penstock", "celery", "kombu", "redis", "wasmtime")


def command_line() -> str:
    """The command that this process was started by, as a shell takes it."""
    return shlex.join(["penstock", *sys.argv[1:]])


def place(command: str, *, processes: int) -> list[tuple[str, str]]:
    """Name and value of each.

    Args:
        command: as it can be given again.
        processes: that ran calls at once.

    Raises:
        UnreachableError: there is no Redis any more.
    """
    cores = os.cpu_count() or 1
    packages = package_versions(_PACKAGES)
    return [
        ("Command", command),
        ("When", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("Machine", f"{cores} cores, {processor()}, {memory_gb()} GB"),
        ("System", system()),
        ("Sandboxing processes", str(processes)),
        ("Python", platform.python_version()),
        ("Redis", f"{redis_version(find_redis_server())}, appendfsync always, on a socket of its own"),
        ("Packages", ", ".join(f"{name} {found}" for name, found in packages.items())),
    ]
