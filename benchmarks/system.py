"""A whole Penstock on one machine for a benchmark: Redis, scheduler, workers, published plugins.

Both sides of every ratio use this Redis: append-only, `appendfsync always`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from penstock import Producer
from penstock.embedded import EmbeddedRedis
from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import Settings, load_settings
from penstock_broker_config.store import connect_store
from penstock_broker_config.urls import for_kombu
from penstock_plugins.bundle import read_bundle
from penstock_plugins.shipped import shipped_plugins
from penstock_workers.inspection import inspect_plugin

START_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What runs, and where."""

    url: str
    folder: Path
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]]

    @property
    def settings(self) -> Settings:
        """Settings of a process of this system."""
        return load_settings(broker_url=self.url, cache_dir=self.folder / "cache")

    def producer(self) -> Producer:
        """A producer on it; the caller closes it."""
        return Producer.connect(self.url)

    def log(self, name: str) -> str:
        """What a process wrote so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def resident_bytes(self, name: str) -> int:
        """Resident memory of a process and its children."""
        top = psutil.Process(self.processes[name].pid)
        return sum(p.memory_info().rss for p in [top, *top.children(recursive=True)])


def publish(settings: Settings, name: str) -> str:
    """Publish a shipped plugin; returns its digest."""
    bundle = read_bundle(shipped_plugins() / name)
    inspection = inspect_plugin(bundle)
    if not inspection.ok:
        raise RuntimeError(f"{name}: {inspection.problems}")
    client = connect_store(settings)
    return RedisCatalog(client, Keys()).publish(bundle, inspection.tools).digest


@contextmanager
def penstock_system(
    *, processes: int = 1, plugins: tuple[str, ...] = ("text", "hostile")
) -> Iterator[System]:
    """Start a system with one worker of so many pool processes; stop it afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        environment = {
            **os.environ,
            "PENSTOCK_BROKER_URL": redis.url,
            "PENSTOCK_CACHE_DIR": str(folder / "cache"),
            "BENCH_CELERY_URL": for_kombu(redis.url),
        }
        system = System(url=redis.url, folder=folder, environment=environment, processes={})
        for name in plugins:
            publish(system.settings, name)
        penstock = (sys.executable, "-P", "-m", "penstock")
        _start(stack, system, "scheduler", [*penstock, "scheduler", "--log-json"], "Ready")
        worker = [*penstock, "worker", "--name", "bench", "--processes", str(processes), "--log-json"]
        _start(stack, system, "worker", worker, "Ready")
        yield system


@contextmanager
def plain_celery(system: System, *, processes: int = 1) -> Iterator[None]:
    """Start Celery's own worker on the plain function, on the same Redis."""
    with ExitStack() as stack:
        command = [
            *(sys.executable, "-m", "celery", "-A", "benchmarks.plain_celery", "worker"),
            *("-c", str(processes), "-l", "INFO", "--without-gossip", "--without-mingle"),
        ]
        _start(stack, system, "celery", command, " ready.")
        yield


def _start(stack: ExitStack, system: System, name: str, command: list[str], ready: str) -> None:
    log = stack.enter_context((system.folder / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=system.environment
    )
    system.processes[name] = process
    stack.callback(_stop, process)
    give_up_at = time.monotonic() + START_TIMEOUT_S
    while ready not in system.log(name):
        if process.poll() is not None or time.monotonic() > give_up_at:
            raise RuntimeError(f"{name} did not start:\n{system.log(name)[-2000:]}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
