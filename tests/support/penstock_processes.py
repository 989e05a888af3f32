"""Penstock's own processes, started as an operator starts them: by the command line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.brokers import Broker
from tests.support.processes import Process

#: Our own interpreter and package, whatever the PATH holds.
PENSTOCK = (sys.executable, "-P", "-m", "penstock")


class Penstock(Process):
    """A `penstock` command that keeps running, on a broker."""

    def __init__(
        self,
        *arguments: str,
        broker: Broker,
        folder: Path,
        name: str,
        ready: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the process; nothing is started.

        Args:
            arguments: of the command line, the command first.
            broker: where it finds its work.
            folder: working directory, and where its log is.
            name: for messages and the log file.
            ready: what it writes when it is ready. None: ready once it runs.
            environment: settings on top, as `PENSTOCK_…`.
        """
        super().__init__(
            [*PENSTOCK, *arguments],
            name=name,
            folder=folder,
            environment={**broker.environment, **(environment or {})},
            ready=ready,
        )
        self.broker = broker


class Worker(Penstock):
    """`penstock worker` with one pool process, ready once it accepts work."""

    def __init__(
        self,
        *options: str,
        broker: Broker,
        folder: Path,
        name: str = "w1",
        processes: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the worker; nothing is started. See `Penstock`; `options` go to the command line."""
        super().__init__(
            *("worker", "--name", name, "--processes", str(processes), *options),
            broker=broker,
            folder=folder,
            name=name,
            ready="Ready, warm: ",
            environment=environment,
        )
        self.processes = processes


class Scheduler(Penstock):
    """`penstock scheduler`, which rings again what nobody claimed."""

    def __init__(
        self,
        *options: str,
        broker: Broker,
        folder: Path,
        name: str = "scheduler",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the scheduler; nothing is started. See `Penstock`; `options` go to the command line."""
        super().__init__(
            *("scheduler", *options),
            broker=broker,
            folder=folder,
            name=name,
            ready="Ready",
            environment=environment,
        )
