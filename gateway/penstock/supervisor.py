"""Keeps a group of child processes running, and ends them in order.

A child that dies is started again after a back-off; one that says its configuration is wrong (exit 2) is not,
because it would say so again. Children get sessions of their own, so that a terminal's Ctrl-C reaches only us
and they end when we say so: softly first (SIGTERM), then hard (SIGKILL to the child and its pool processes).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.tether import tethered

#: A child that has lived this long has started well: the back-off begins anew.
SETTLED_S = 30.0
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 20.0
#: Seconds that a child has to vanish after SIGKILL before we stop to wait for it.
KILLED_S = 5.0
#: A longer line of a child is cut here.
LINE_BYTES = 64 * 1024

#: What a child ends with when starting it again cannot help: wrong usage, wrong configuration.
WRONG_CONFIGURATION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What to keep running."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


def backoff_s(deaths: int) -> float:
    """Seconds to wait before a child is started again, after its n-th death in a row."""
    return float(min(FIRST_BACKOFF_S * 2 ** (deaths - 1), LONGEST_BACKOFF_S))


class Supervisor:
    """Runs groups of children; the first group is stopped first."""

    def __init__(self, groups: Sequence[Sequence[Child]], *, say: Callable[[str, str], None]) -> None:
        """`say` gets each line of output with the name of the child that wrote it, and ours with its name."""
        self._groups = groups
        self._say = say
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: list[list[asyncio.Task[None]]] = []
        self._stopping = asyncio.Event()
        #: The child that cannot run as it is configured, once there is one.
        self.refused: str | None = None
        #: Set when `refused` is.
        self.gave_up = asyncio.Event()

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each child that runs."""
        return {name: p.pid for name, p in self._processes.items() if p.returncode is None}

    def start(self) -> None:
        """Start every child, and keep each running from now on."""
        self._keepers = [[asyncio.create_task(self._keep(child)) for child in g] for g in self._groups]

    async def stop(self, *, soft_s: float, hard: asyncio.Event) -> None:
        """End all children, group by group.

        Args:
            soft_s: seconds that a group has to finish what it does.
            hard: set it, at any time, to end them at once.
        """
        self._stopping.set()
        for group, keepers in zip(self._groups, self._keepers, strict=True):
            for child in group:
                self._signal(child.name, signal.SIGTERM)
            hurried: asyncio.Future[Any] = asyncio.create_task(hard.wait())
            everyone: asyncio.Future[Any] = asyncio.gather(*keepers)
            await asyncio.wait({hurried, everyone}, timeout=soft_s, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            if not everyone.done():
                for child in group:
                    if self._signal(child.name, signal.SIGKILL):
                        self._say(
                            child.name,
                            "did not end in time and was killed" if not hard.is_set() else "killed",
                        )
                await asyncio.wait({everyone}, timeout=KILLED_S)

    async def _keep(self, child: Child) -> None:
        loop, deaths = asyncio.get_running_loop(), 0
        while not self._stopping.is_set():
            started = loop.time()
            status = await self._run(child)
            if self._stopping.is_set():
                return
            if status == WRONG_CONFIGURATION:
                self.refused = child.name
                self.gave_up.set()
                return
            deaths = 1 if loop.time() - started > SETTLED_S else deaths + 1
            wait_s = backoff_s(deaths)
            self._say(child.name, f"{_how_it_ended(status)}; starting it again in {wait_s:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait_s)

    async def _run(self, child: Child) -> int:
        process = await asyncio.create_subprocess_exec(
            *tethered(child.command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **child.env},
            start_new_session=True,
            limit=LINE_BYTES,
        )
        self._processes[child.name] = process
        if self._stopping.is_set():  # stop came while it was being started
            self._signal(child.name, signal.SIGTERM)
        listening = asyncio.create_task(self._listen(child.name, process.stdout))
        try:
            status = await process.wait()
            # Pool processes of a killed child may hold its pipe open: they end too.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait({listening}, timeout=1.0)
        finally:
            listening.cancel()
        return status

    async def _listen(self, name: str, stream: asyncio.StreamReader | None) -> None:
        if stream is None:
            return
        while True:
            try:
                line = await stream.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                line = error.partial
                if not line:
                    return
            except asyncio.LimitOverrunError as error:
                line = await stream.readexactly(error.consumed)
            self._say(name, line.decode(errors="replace").rstrip("\r\n"))

    def _signal(self, name: str, number: signal.Signals) -> bool:
        process = self._processes.get(name)
        if process is None or process.returncode is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        return True


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
