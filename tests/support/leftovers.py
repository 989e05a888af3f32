"""Finds the processes that a test left running: its children, and whatever carries the run's mark.

Everything that the tests start inherits an environment variable, so that a daemon whose parent has died is
found as well. Where there is no /proc, nothing is found.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import open_processes, undertaker_pid

_MARK_NAME = "TEST_RUN_OF_PENSTOCK"
_PROC = Path("/proc")
#: Processes that Python itself keeps for as long as it runs.
_PYTHONS_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
#: Helpers that Erlang starts for a shared RabbitMQ whenever it needs them; they are nobody's test's.
_ERLANGS_OWN = ("epmd -daemon", "erl_child_setup", "inet_gethost")

#: Fields of /proc/PID/stat, counted from the state.
_STATE, _PARENT, _FLAGS, _STARTED = 0, 1, 6, 19
#: The flag of the kernel's own threads, which have no environment.
_PF_KTHREAD = 0x00200000
#: Looks at an environment that seems empty, and the seconds between them.
_LOOKS = 10
_BETWEEN_LOOKS_S = 0.002
#: Processes whose environment stayed empty (id and start time): not looked at again.
_without_environment: set[tuple[str, bytes]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One process of this machine, as /proc describes it."""

    pid: int
    parent: int
    command: str
    #: Whether its environment carries this run's mark.
    marked: bool

    def __str__(self) -> str:
        """As a report names it."""
        return f"{self.pid} {self.command[:160]}"


def mark_this_run() -> None:
    """Give every process that is started from now on the mark of this run."""
    os.environ[_MARK_NAME] = uuid.uuid4().hex


def started_here() -> dict[int, Running]:
    """What runs and was started by this test run, by process id; long-lived servers excepted."""
    everything = _everything()
    us = os.getpid()
    shared = {process.pid for process in open_processes if process.shared and process.running}
    if (undertaker := undertaker_pid()) is not None:
        shared.add(undertaker)
    return {
        pid: process
        for pid, process in everything.items()
        if (process.marked or process.parent == us)
        and pid != us
        and not _descends(process, shared, everything)
        and not any(own in process.command for own in (*_PYTHONS_OWN, *_ERLANGS_OWN))
    }


def end(processes: list[Running]) -> None:
    """Kill them, one by one."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _descends(process: Running, from_any: set[int], everything: dict[int, Running]) -> bool:
    seen: Running | None = process
    while seen is not None:
        if seen.pid in from_any:
            return True
        seen = everything.get(seen.parent)
    return False


def _everything() -> dict[int, Running]:
    mark = f"{_MARK_NAME}={os.environ.get(_MARK_NAME, '-')}".encode()
    found: dict[int, Running] = {}
    if not _PROC.is_dir():
        return found
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        # It may end while we look, and others' environments are none of our business.
        with suppress(OSError):
            stat = (folder / "stat").read_bytes()
            # `pid (name) state parent …`; the name may hold anything, so read from its closing parenthesis.
            fields = stat[stat.rindex(b")") + 2 :].split()
            if fields[_STATE] in b"ZX":  # ended, and only not yet waited for
                continue
            found[int(folder.name)] = Running(
                pid=int(folder.name),
                parent=int(fields[_PARENT]),
                marked=mark in _environment(folder, fields),
                command=(folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"),
            )
    return found


def _environment(folder: Path, fields: list[bytes]) -> bytes:
    """A process's environment. For an instant after `exec` it looks empty, so an empty one is read again."""
    process = (folder.name, fields[_STARTED])
    for _ in range(_LOOKS):
        environment = (folder / "environ").read_bytes()
        if environment or process in _without_environment or int(fields[_FLAGS]) & _PF_KTHREAD:
            return environment
        time.sleep(_BETWEEN_LOOKS_S)
    _without_environment.add(process)
    return b""
