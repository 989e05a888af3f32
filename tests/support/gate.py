"""A log file of guests that holds up whoever writes much to it, until the test lets them go on."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import threading
from pathlib import Path
from typing import Self

#: The least that Linux gives a pipe: room for some dozen lines.
_ROOM_BYTES = 4096


class Gate:
    """A named pipe that nobody reads at first: calls that log are under way, and cannot all end."""

    def __init__(self, path: Path) -> None:
        """Make it; it is shut."""
        self.path = path
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _ROOM_BYTES)
        # With an end of our own there is no end of file while workers come and go.
        self._writer = os.open(path, os.O_WRONLY)
        self._thread = threading.Thread(target=self._drain, name="gate", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.open()
        os.close(self._writer)
        self._thread.join(30)  # until the last writer has ended

    @property
    def reached(self) -> bool:
        """Whether a guest has written something, with the gate shut."""
        waiting: bytes = fcntl.ioctl(self._reader, termios.FIONREAD, bytes(4))
        return struct.unpack("i", waiting) != (0,)

    def open(self) -> None:
        """Let everybody through from now on. Opening it twice does nothing."""
        if self._thread.ident is None:
            self._thread.start()

    def _drain(self) -> None:
        os.set_blocking(self._reader, True)
        while os.read(self._reader, 1 << 16):
            pass
        os.close(self._reader)
