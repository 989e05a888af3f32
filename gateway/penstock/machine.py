"""The machine that this runs on, for reports of what was measured there."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def processor() -> str:
    """The processor's name, as well as the system knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return name.group(1) if name else platform.processor() or platform.machine()


def memory_gb() -> int:
    """Its memory."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def system() -> str:
    """The operating system and its release."""
    return f"{platform.system()} {platform.release()}"


def redis_version(server: Path) -> str:
    """What a Redis binary says of itself."""
    answer = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=True)
    found = re.search(r"v=(\S+)", answer.stdout)
    return found.group(1) if found else "unknown"


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Name → version of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
