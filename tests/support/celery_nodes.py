"""Nodes of pytest-celery made from processes instead of containers: no Docker is needed.

pytest-celery only asks its containers a few questions. `ProcessContainer` answers them for a process of
ours, so that its clusters, its `celery_setup` and its assertions about logs work as they are documented.
"""

from __future__ import annotations

import os
import signal as signals
import socket
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import celery
from pytest_celery import CeleryTestContainer, CeleryTestWorker

from penstock_broker_config.queues import DEFAULT
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.processes import Process


class ProcessContainer(CeleryTestContainer):  # type: ignore[misc]  # pytest-celery has no types
    """What pytest-celery asks a container, answered for a process that runs here."""

    def __init__(self, process: Process, config: Mapping[str, str] | None = None) -> None:
        """Wrap a process, started or not.

        Args:
            process: what the container would hold.
            config: `url`, `host_url` and so on, for nodes that Celery connects to.
        """
        # The base class would store a Docker object; none of what it does with that is used here.
        self.process = process
        self._config = dict(config or {})
        self._id = uuid.uuid4().hex

    @property
    def id(self) -> str:
        """An id as Docker's: 32 hexadecimal digits."""
        return self._id

    @property
    def name(self) -> str:
        """The process's name."""
        return self.process.name

    @property
    def attrs(self) -> dict[str, Any]:
        """The little that is read of a container's description."""
        return {"Config": {"Hostname": socket.gethostname()}}

    @property
    def status(self) -> str:
        """Docker's words for whether it runs."""
        return "running" if self.process.running else "exited"

    @property
    def celeryconfig(self) -> dict[str, str]:
        """A fresh copy: nodes write into it."""
        return dict(self._config)

    def logs(self) -> str:
        """What it has written, in all runs, as `docker logs` has it."""
        return self.process.log(all_runs=True)

    def reload(self) -> None:
        """Nothing is cached here."""

    def ready(self) -> bool:
        """Wait until it is ready; starts it when it was not started."""
        if self.process.running:
            self.process.wait_until_ready()
        else:
            self.process.start()
        return True

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Send the signal as Docker does, which for SIGKILL ends everything inside; wait for the end."""
        number = signals.Signals[signal] if isinstance(signal, str) else signals.Signals(signal)
        if number is signals.SIGKILL:
            self.process.kill()
            return
        self.process.signal(number)
        self.process.wait()

    def restart(self, timeout: float = 30) -> None:
        """Stop it within the timeout, and start it on the same files."""
        if self.process.running:
            self.process.stop(timeout)
        self.process.restart()

    def remove(self, *_arguments: object, **_options: object) -> None:
        """End it, as `docker rm --force`."""
        self.teardown()

    def teardown(self) -> None:
        """End it, unless it is shared with other tests."""
        if not self.process.shared:
            self.process.close()

    def exec_run(self, cmd: str | Sequence[str], **_options: object) -> tuple[int, bytes]:
        """Run a command with the process's folder and environment: its exit status and its output."""
        done = subprocess.run(
            cmd,
            shell=isinstance(cmd, str),  # `docker exec` takes a command line as well
            cwd=self.process.folder,
            env={**os.environ, **self.process.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.returncode, done.stdout


class WorkerContainer(ProcessContainer):
    """A `penstock worker`, with what pytest-celery asks of workers."""

    process: Worker

    def version(self) -> str:
        """Celery's version in the worker, which is ours."""
        return celery.__version__

    def log_level(self) -> str:
        """The level of the worker's log lines."""
        return "INFO"

    def worker_name(self) -> str:
        """The part of its name before the host."""
        return self.process.name

    def worker_queue(self) -> str:
        """A queue that it serves."""
        return DEFAULT


class WorkerNode(CeleryTestWorker):  # type: ignore[misc]  # pytest-celery has no types
    """A worker whose name has this host's name in it; a container's would have its id."""

    def hostname(self) -> str:
        """The worker's name as Celery spells it."""
        return f"{self.worker_name}@{socket.gethostname()}"


def broker_container(broker: Broker) -> ProcessContainer:
    """The server of the doorbells."""
    return ProcessContainer(broker.server, {"url": broker.url, "host_url": broker.url})


def store_container(broker: Broker) -> ProcessContainer:
    """The Redis of the ledger."""
    return ProcessContainer(broker.redis, {"url": broker.redis.url, "host_url": broker.redis.url})
