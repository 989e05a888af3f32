"""A private folder with a listening socket in it, and the ones that killed servers left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

#: Begins the name of each folder; the rest is random.
PREFIX = "penstock-artifacts-"
SOCKET_NAME = "socket"

#: Seconds after which a folder without a socket is not one whose server just starts.
_STALE_S = 3600.0


def listen_in_private(parent: Path, *, backlog: int) -> tuple[Path, socket.socket]:
    """A new folder that only this user may enter, and a socket in it that listens."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # It gets its name when it listens: a socket with that name that refuses is one whose server is dead.
    nameless = folder / "starting"
    listener.bind(str(nameless))
    listener.listen(backlog)
    nameless.rename(folder / SOCKET_NAME)
    return folder, listener


def remove_stale_folders(folder: Path) -> None:
    """Remove what servers of this user that were killed left behind."""
    for left in folder.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = left.lstat()
            if found.st_uid == os.geteuid() and _is_dead(left, found.st_mtime):
                shutil.rmtree(left)


def _is_dead(folder: Path, modified: float) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.settimeout(0.5)
            probe.connect(str(folder / SOCKET_NAME))
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:
            return time.time() - modified > _STALE_S
        return False
