"""`python -m MODULE …` forked off a process that has imported what it needs, for runs of very many processes.

Only `make chaos` does this: starting an interpreter takes most of the time of a crash point's run. Elsewhere
processes are started as an operator starts them.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.waiting import wait_until

#: Set: processes that can be are forked.
SWITCH = "CHAOS_FORK"
_IMPORTED_FIRST = [
    "celery.apps.worker",
    "celery.backends.redis",
    "kombu.transport.redis",
    "penstock.cli",
    "penstock_scheduler.service",
    "penstock_workers.lean",
    "penstock_workers.sandbox",
    "penstock_workers.service",
    "tests.chaos.feed",
    "wasmtime.component",
]


def can_be_forked(argv: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the command is a module for this interpreter, and forking is asked for."""
    return SWITCH in os.environ and "LD_PRELOAD" not in environment and _module_at(argv) is not None


class Forked:
    """A module that runs, with as much of `subprocess.Popen` as `Process` asks for."""

    def __init__(self, argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_IMPORTED_FIRST)
        self._process = context.Process(target=_run, args=(tuple(argv), str(log), str(cwd), dict(env)))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        wait_until(
            lambda: self.poll() is not None or os.getpgid(self.pid) == self.pid, 30, "it leads its group"
        )

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return self._process.exitcode


def _module_at(argv: Sequence[str]) -> int | None:
    if argv[0] != sys.executable or "-m" not in argv[1:3]:
        return None
    return argv.index("-m") + 1


def _run(argv: tuple[str, ...], log: str, cwd: str, env: dict[str, str]) -> None:
    """In the forked process: become what the command line says."""
    os.setsid()
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(written, 1)
    os.dup2(written, 2)
    os.close(written)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    at = _module_at(argv)
    assert at is not None
    sys.argv = list(argv[at:])
    runpy.run_module(argv[at], run_name="__main__", alter_sys=True)
