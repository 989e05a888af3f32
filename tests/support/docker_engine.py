"""A Docker engine of a test run's own: its files, its socket, its networks apart from the machine's."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import docker
import psutil

from tests.support.firewall import Passage
from tests.support.processes import READY_TIMEOUT_S, Process

#: Images live here from one run to the next: making the base image takes a minute.
CACHE = Path.home() / ".cache" / "penstock-system-tests"
#: Addresses of its networks.
_ADDRESSES = "10.213.0.0/16"
#: What the kernel accounts its containers to.
_CGROUP = "penstock-system-tests"
_CGROUPS = Path("/sys/fs/cgroup")
_NEEDED = ("dockerd", "docker", "docker-compose", "debootstrap", "unshare")
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

#: Its mounts and its processes are nobody else's: when it ends, in whatever way, the kernel takes them away.
#: It has a /run of its own, where Docker leaves folders behind. No overlay can be mounted on another: there
#: its images are in memory if there is much of that.
_SCRIPT = """
mount -t tmpfs -o mode=755 tmpfs /run
available=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
if [ "$(stat -f -c %T "$0")" = overlayfs ] && [ "$available" -gt 8000000 ]; then
    mount -t tmpfs -o mode=710 tmpfs "$0"
fi
exec "$@"
"""
_APART = (
    *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("sh", "-euc", _SCRIPT),
)


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
        self._passage = Passage(_ADDRESSES)
        self._socket = str(cache / "docker.sock")
        images = str(cache / "data")
        super().__init__(
            [
                *(*_APART, images),
                *("dockerd", "--data-root", images, "--exec-root", str(cache / "exec")),
                *("--host", self.address, "--pidfile", str(cache / "docker.pid")),
                # No bridge of the machine's: each project has a network of its own, and builds have none.
                *("--bridge", "none", "--default-address-pool", f"base={_ADDRESSES},size=24"),
                # Containers reach each other, and a process passes ports on: that needs no packet filter.
                *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
                *("--cgroup-parent", f"/{_CGROUP}", "--exec-opt", "native.cgroupdriver=cgroupfs"),
                # Where it has to copy instead, the images take ten gigabytes and as many minutes.
                *("--storage-driver", "overlay2"),
            ],
            name="dockerd",
            folder=folder,
            # What runs in containers is the engine's to end, and no test's leftover.
            environment={"TEST_RUN_OF_PENSTOCK": "", "PATH": _PATH},
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
        (self._cache / "data").mkdir(parents=True, exist_ok=True)
        self._lock = (self._cache / "lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._forget_processes()
            self._passage.open()
            super().start()
            self._empty()
        except BaseException:
            self.close()
            raise
        return self

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it answers."""
        self.wait_while_running(self._answers, timeout_s, "the engine answers")

    def signal(self, number: int) -> None:
        """Send a signal to `dockerd`: `unshare`, which waits for it, passes none on."""
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children():
                child.send_signal(signal.Signals(number))

    def close(self) -> None:
        """Remove its containers, networks, volumes and the images that have lost their names, and end it."""
        if self.running:
            self._empty()
            self.stop(60)
        super().close()
        self._passage.close()
        self._forget_processes()
        _remove_groups()
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

    def _forget_processes(self) -> None:
        """Remove the numbers of processes that are no more. In the next engine others have them."""
        for name in ("docker.pid", "docker.sock"):
            (self._cache / name).unlink(missing_ok=True)
        shutil.rmtree(self._cache / "exec", ignore_errors=True)

    def _empty(self) -> None:
        client = self.client()
        for container in client.containers.list(all=True):
            container.remove(force=True, v=True)
        client.networks.prune()
        client.volumes.prune()
        client.images.prune()
        client.close()


def _remove_groups() -> None:
    """Take away the control groups of containers that have ended, here or in a run that was killed."""
    for top in (*_CGROUPS.glob(f"*/{_CGROUP}"), *_CGROUPS.glob(_CGROUP)):
        for folder, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):  # a process may still be ending in it
                Path(folder).rmdir()


def missing_docker() -> str | None:
    """Why there can be no Docker engine here. None: there can."""
    if os.getuid() != 0:
        return "only root can start a Docker engine"
    lacking = [name for name in _NEEDED if shutil.which(name, path=_PATH) is None]
    return f"not installed: {', '.join(lacking)} (scripts/install-test-servers system)" if lacking else None
