"""One child process with its log: started until it is ready, stopped, killed, started again where it was."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from tests.support import undertaker
from tests.support.forked import Forked, can_be_forked
from tests.support.waiting import wait_until

#: Seconds for a start and for a stop, generous because the machine may be busy.
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0

#: Every process that was started and not closed yet.
open_processes: set[Process] = set()
#: The processes that the present test has started, closed or not, and those that are shared: whose logs may
#: explain a failure.
witnesses: list[Process] = []


class Process:
    """A command that runs in a process group of its own and writes its output to a file.

    The parent's environment is inherited, with `environment` on top. Subclasses override `wait_until_ready`.
    """

    def __init__(
        self,
        argv: Sequence[str | os.PathLike[str]],
        *,
        name: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        ready: str | None = None,
        shared: bool = False,
    ) -> None:
        """Describe the process; nothing is started.

        Args:
            argv: the command; no shell is involved.
            name: for messages and for the log file's name.
            folder: working directory, and where the log is written.
            environment: on top of this process's own.
            ready: text in the log that says that it is ready. None: ready once it runs.
            shared: lives longer than one test, so that the guard lets it be.
        """
        self.argv = tuple(os.fspath(part) for part in argv)
        self.name = name
        self.folder = folder
        self.environment = dict(environment or {})
        self.shared = shared
        self._ready = ready
        self._popen: subprocess.Popen[bytes] | Forked | None = None
        #: Whether the group is gone. Its number may then be another's.
        self._swept = True
        #: Where the log of the present run starts: a restarted process appends.
        self._run_starts_at = 0

    # -- its life

    def start(self) -> Self:
        """Start it and wait until it is ready.

        Raises:
            RuntimeError: it ended instead; with the end of its log.
            TimeoutError: it is not ready in time; likewise.
        """
        if self.running:
            raise RuntimeError(f"{self.name} runs already")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._popen = self._begin({**os.environ, **self.environment})
        self._swept = False
        open_processes.add(self)
        if self not in witnesses:
            witnesses.append(self)
        _undertaker.started(self._popen.pid)
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def _begin(self, environment: dict[str, str]) -> subprocess.Popen[bytes] | Forked:
        with self.log_file.open("ab") as log:
            self._run_starts_at = log.tell()
            if can_be_forked(self.argv, environment):
                return Forked(self.argv, log=self.log_file, cwd=self.folder, env=environment)
            return subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the present run has written its `ready` text."""
        if self._ready is not None:
            self.wait_for_log(self._ready, timeout_s)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask it to end (SIGTERM) and wait for that.

        Returns:
            Its exit status.

        Raises:
            TimeoutError: it does not end; it is killed then.
        """
        if self.running:
            self.signal(signal.SIGTERM)
            try:
                self.wait(timeout_s)
            except TimeoutError:
                self.kill()
                raise
        self._sweep()
        return self.exit_status

    def kill(self) -> None:
        """Kill it and all that it started, as when its host loses power."""
        self._sweep()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone, not to what it started."""
        os.kill(self.pid, number)

    def restart(self) -> None:
        """Stop it when it runs, kill what is left of it, and start it on the same files."""
        if self.running:
            self.stop()
        self._sweep()
        self.start()

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait until it ends by itself; its exit status.

        Raises:
            TimeoutError: it still runs; with the end of its log.
        """
        popen = self._required()
        try:
            return popen.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self.name} still runs after {timeout_s:g} s:\n{self.tail()}") from error

    def close(self) -> None:
        """Kill what is left of it. Closing twice does nothing."""
        self._sweep()
        open_processes.discard(self)

    def __enter__(self) -> Self:
        return self if self.running else self.start()

    def __exit__(self, *_error: object) -> None:
        self.close()

    # -- what it is like

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """Its process id, which is its group's as well."""
        return self._required().pid

    @property
    def exit_status(self) -> int:
        """Its exit status, negative for a signal.

        Raises:
            RuntimeError: it has not ended.
        """
        status = self._required().poll()
        if status is None:
            raise RuntimeError(f"{self.name} has not ended")
        return status

    # -- what it said

    @property
    def log_file(self) -> Path:
        """Where its output is, that of earlier runs included."""
        return self.folder / f"{self.name}.log"

    def log(self, *, all_runs: bool = False) -> str:
        """What it has written."""
        try:
            written = self.log_file.read_bytes()
        except FileNotFoundError:
            return ""
        return written[0 if all_runs else self._run_starts_at :].decode(errors="replace")

    def tail(self, lines: int = 40) -> str:
        """The end of its log, for messages."""
        return "\n".join(self.log(all_runs=True).splitlines()[-lines:]) or "(it wrote nothing)"

    def wait_for_log(self, text: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the present run has written the text and the rest of its line, which may come in pieces.

        Raises:
            RuntimeError: it ended without; with the end of its log.
            TimeoutError: it did not write it in time; likewise.
        """

        def written() -> bool:
            log = self.log()
            return text in log[: log.rfind("\n") + 1]

        self.wait_while_running(written, timeout_s, f"{self.name} writes {text!r}")

    def wait_while_running(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait on a condition that only the running process can make true.

        Raises:
            RuntimeError: it ended without; with the end of its log.
            TimeoutError: the condition did not come true in time; likewise.
        """

        def settled() -> bool:
            ended = not self.running  # read first: the last words may come with the end
            if condition():
                return True
            if ended:
                raise RuntimeError(
                    f"{self.name} ended with {self.exit_status}, before {what}:\n{self.tail()}"
                )
            return False

        wait_until(settled, timeout_s, lambda: f"{what}\n{self.tail()}")

    def _sweep(self) -> None:
        """Kill the whole group, which outlives its leader when the leader was killed alone."""
        if self._popen is None or self._swept:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()
        self._swept = True
        _undertaker.ended(self._popen.pid)

    def _required(self) -> subprocess.Popen[bytes] | Forked:
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen


class _Undertaker:
    """Our end of the undertaker: it learns of each group, and of our own death by the end of its input."""

    def __init__(self) -> None:
        self._popen: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen is not None else None

    def started(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def ended(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            pipe = self._pipe()
            pipe.write(line.encode())
            pipe.flush()

    def _pipe(self) -> IO[bytes]:
        if self._popen is None:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", undertaker.__file__],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            atexit.register(self._end)
        assert self._popen.stdin is not None
        return self._popen.stdin

    def _end(self) -> None:
        if self._popen is not None and self._popen.stdin is not None:
            self._popen.stdin.close()
            self._popen.wait()


_undertaker = _Undertaker()


def undertaker_pid() -> int | None:
    """The undertaker's process id. None: nothing was started yet."""
    return _undertaker.pid
