"""Plugins that compile for long, published beside the rest of the demo by a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType

from rich.text import Text

from penstock.cli.console import QUIET, err
from penstock.cli.words import span
from penstock.tether import tethered
from penstock.up import PENSTOCK
from penstock_broker_config.settings import Settings

#: Seconds for all of them; a slow machine compiles the largest in a minute.
PUBLISHED_S = 180.0
_STOP_S = 10.0


class Publishing:
    """`penstock plugin publish`, running. A context manager: what has not ended then is ended."""

    def __init__(self, settings: Settings, folders: list[Path]) -> None:
        where = {
            "PENSTOCK_STATE_DIR": str(settings.state_dir),
            "PENSTOCK_REDIS_URL": settings.redis_url or "",
            "PENSTOCK_BROKER_URL": settings.broker_url or "",
        }
        self._process = subprocess.Popen(
            tethered([*PENSTOCK, "plugin", "publish", *map(str, folders)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **where},
            start_new_session=True,
        )
        self._said: list[str] = []
        self._listener = threading.Thread(target=self._listen, name="demo-publishing", daemon=True)
        self._listener.start()

    def wait(self, why: str) -> str | None:
        """Wait until everything is published, with a spinner that says why.

        Returns:
            What went wrong, in its last words; None when all is published.
        """
        if self._process.poll() is None:
            started = time.monotonic()
            if not err().is_terminal:
                err().print(Text(why, QUIET))
            with err().status(Text(why, QUIET)):
                self._end(PUBLISHED_S)
            err().print(Text(f"… published after {span(time.monotonic() - started)} more", QUIET))
        status = self._process.poll()
        if status == 0:
            return None
        how = f"exit code {status}" if status is not None else f"no end after {span(PUBLISHED_S)}"
        return f"{' | '.join(self._said[-3:]) or 'it said nothing'} ({how})"

    def __enter__(self) -> Publishing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)  # the compiler is of its group
            self._end(_STOP_S)
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._listener.join()

    def _end(self, within_s: float) -> None:
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return  # whoever asked looks whether it has ended
        self._listener.join()

    def _listen(self) -> None:
        for line in self._process.stdout or ():
            if line.strip():
                self._said.append(line.strip())
