"""A Docker engine of a test run's own: its files, its socket and its networks apart from the machine's."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
from pathlib import Path
from typing import IO, Self

import docker

from tests.support.firewall import Firewall
from tests.support.processes import READY_TIMEOUT_S, Process

#: Images live here from one run to the next: making the base image takes a minute.
CACHE = Path.home() / ".cache" / "penstock-system-tests"
_NEEDED = ("dockerd", "docker", "docker-compose", "debootstrap", "iptables")


class DockerEngine(Process):
    """`dockerd`, which starts with images of earlier runs and nothing else, and ends with its containers."""

    def __init__(self, folder: Path, cache: Path = CACHE) -> None:
        """Describe the engine; nothing is started.

        Args:
            folder: for its log.
            cache: for its images; one engine at a time uses it.
        """
        self._cache = cache
        self._lock: IO[bytes] | None = None
        self._firewall: Firewall | None = None
        self._socket = str(cache / "docker.sock")
        super().__init__(
            [
                *("dockerd", "--data-root", str(cache / "data"), "--exec-root", str(cache / "exec")),
                *("--host", self.address, "--pidfile", str(cache / "docker.pid")),
                # No bridge of the machine's: each project has a network of its own, and builds have none.
                *("--bridge", "none", "--default-address-pool", "base=10.213.0.0/16,size=24"),
            ],
            name="dockerd",
            folder=folder,
            # What runs in containers is the engine's to end, and no test's leftover.
            environment={"TEST_RUN_OF_PENSTOCK": ""},
            shared=True,
        )

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"unix://{self._socket}"

    @property
    def environment_of_clients(self) -> dict[str, str]:
        """What `docker` and `docker-compose` find it by."""
        return {"DOCKER_HOST": self.address, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}

    def client(self) -> docker.DockerClient:
        """A client of the engine; the caller closes it."""
        return docker.DockerClient(base_url=self.address, version="auto", timeout=120)

    def start(self) -> Self:
        """Start it, and remove what a run that was killed has left in it."""
        self._cache.mkdir(parents=True, exist_ok=True)
        self._lock = (self._cache / "lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._firewall = Firewall()
        super().start()
        self._empty()
        return self

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it answers."""
        self.wait_while_running(self._answers, timeout_s, "the engine answers")

    def close(self) -> None:
        """Remove its containers, networks and volumes, and end it."""
        if self.running:
            self._empty()
            self.stop(60)
        super().close()
        if self._firewall is not None:
            self._firewall.restore()
            self._firewall = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _answers(self) -> bool:
        # By hand: a client that finds nobody leaves its socket open.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self._socket)
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in probe.recv(64)
            except OSError:
                return False

    def _empty(self) -> None:
        client = self.client()
        for container in client.containers.list(all=True):
            container.remove(force=True, v=True)
        client.networks.prune()
        client.volumes.prune()
        client.close()


def missing_docker() -> str | None:
    """Why there can be no Docker engine here. None: there can."""
    if os.getuid() != 0:
        return "only root can start a Docker engine"
    lacking = [name for name in _NEEDED if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    return f"not installed: {', '.join(lacking)} (scripts/install-test-servers system)" if lacking else None
