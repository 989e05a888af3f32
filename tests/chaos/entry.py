"""Penstock's command line with witnesses in it: `python -m tests.chaos.entry worker …`.

Everything is Penstock's own, but for two things that are written down on the way: each line that a guest
logs, with the process and the moment; and each doorbell that the broker took. A call whose params name `ms`
waits that long in the host, as a tool does that asks somebody else.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import orjson

from penstock.cli import main
from penstock_broker_config.doorbell import Doorbell
from penstock_workers import log_sink

#: Who this is in the witness's files, and where doorbells are written down.
NAME_VARIABLE, RINGS_VARIABLE = "CHAOS_NAME", "CHAOS_RINGS"


class WitnessSink(log_sink.FileSink):
    """Adds who wrote a line, and when."""

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Append the line."""
        line = {
            "at": time.monotonic(),
            "clock": time.time(),
            "pid": os.getpid(),
            "who": os.environ[NAME_VARIABLE],
            "level": level,
            "message": message,
        }
        os.write(self._fd, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if level == "info":
            time.sleep(orjson.loads(message).get("ms", 0) / 1000)


def witness_doorbells() -> None:
    """Write down each doorbell that the broker has taken."""
    rings = os.open(Path(os.environ[RINGS_VARIABLE]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    ring = Doorbell.ring

    def witnessed(self: Doorbell, batch_id: str, **about: Any) -> None:
        ring(self, batch_id, **about)
        os.write(rings, f"{batch_id} {os.environ[NAME_VARIABLE]}\n".encode())

    Doorbell.ring = witnessed  # type: ignore[method-assign]  # it is the class that is watched


if __name__ == "__main__":
    log_sink.FileSink = WitnessSink  # type: ignore[misc]  # likewise
    witness_doorbells()
    main()
