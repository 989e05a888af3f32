"""A whole Penstock of the demo's own: `penstock up` in a temporary folder, gone when the demo ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from penstock.loglines import LogLine
from penstock.tether import tethered
from penstock.up import PENSTOCK
from penstock_broker_config.location import running_system
from penstock_broker_config.settings import Settings, load_settings
from penstock_plugins.errors import PenstockError, UnreachableError

#: Seconds for Redis, the scheduler and the worker to be ready; compiling the plugins is part of it.
READY_S = 60.0
#: Seconds for an orderly end.
STOP_S = 20.0
_LAST_LINES = 5


@contextlib.contextmanager
def own_system(*, processes: int, plugins: list[Path]) -> Iterator[Settings]:
    """Run a system of our own, whatever else is configured or runs on this machine.

    Yields:
        The settings that lead to it.

    Raises:
        UnreachableError: it does not become ready; with its last words.
        PenstockError: its plugins were not published.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as state_dir:
        command = [*PENSTOCK, "up", "--own-redis", "--json", "--processes", str(processes), "--no-shipped"]
        process = subprocess.Popen(
            tethered([*command, *_named(plugins)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PENSTOCK_STATE_DIR": state_dir},
            start_new_session=True,  # Ctrl-C is for the demo, which stops this in good order
        )
        listener = _Listener(process)
        try:
            listener.wait_until_ready()
            yield _settings(Path(state_dir))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            listener.join()


class _Listener(threading.Thread):
    """Reads what the system says, so that its pipe never fills, and keeps the last lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__(name="demo-system", daemon=True)
        self._process = process
        self._lines: list[str] = []
        #: Why plugins were not published.
        self._refused: list[str] = []
        #: Set when it is ready, or will never be.
        self._settled = threading.Event()
        self._ready = False
        self.start()

    def run(self) -> None:
        for raw in self._process.stdout or ():
            line = LogLine.read(raw.strip())
            if line.action == "up":
                self._ready = True
                self._settled.set()
            self._lines = [*self._lines[-_LAST_LINES:], f"{line.fields.get('from', '')}: {line.text}"]
            if line.fields.get("from") == "plugins" and line.text.startswith("Error: "):
                self._refused.append(line.text.removeprefix("Error: "))
        self._settled.set()

    def wait_until_ready(self) -> None:
        self._settled.wait(READY_S)
        if not self._ready:
            raise UnreachableError(f"The demo's system did not start: {' | '.join(self._lines)}")
        if self._refused:
            raise PenstockError(f"The demo's plugins were not published: {'; '.join(self._refused)}")


def _named(plugins: list[Path]) -> list[str]:
    return [word for folder in plugins for word in ("--plugins", str(folder))]


def _settings(state_dir: Path) -> Settings:
    """Ours, but for where to: arguments come before everything that is configured."""
    running = running_system(load_settings(state_dir=state_dir))
    if running is None:
        raise UnreachableError("The demo's system ended again")
    return load_settings(
        state_dir=state_dir, redis_url=running["redis_url"], broker_url=running["broker_url"]
    )
