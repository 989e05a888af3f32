"""A whole Penstock on one machine for a benchmark: Redis, scheduler, workers, published plugins.

Both sides of every ratio use this Redis, whose durability is said with every figure.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.measuring import tree
from penstock import Producer
from penstock.embedded import EmbeddedRedis
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import Settings, load_settings
from penstock_broker_config.store import connect_store
from penstock_broker_config.urls import for_kombu
from penstock_plugins.bundle import Bundle, read_bundle
from penstock_plugins.shipped import shipped_plugins
from penstock_plugins.tool import Tool
from penstock_workers.inspection import inspect_plugin

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What runs, and where."""

    url: str
    folder: Path
    cache_dir: Path
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]]

    @property
    def settings(self) -> Settings:
        """Settings of a process of this system."""
        return load_settings(broker_url=self.url, cache_dir=self.cache_dir)

    def producer(self) -> Producer:
        """A producer on it; the caller closes it."""
        return Producer.connect(self.url)

    def log(self, name: str) -> str:
        """What a process wrote so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def pid(self, name: str) -> int:
        """The id of a process that was started here."""
        return self.processes[name].pid

    def resident_bytes(self, name: str) -> int:
        """Resident memory of a process and its descendants."""
        return sum(process.memory_info().rss for process in tree(self.pid(name)))

    def redis_cpu_s(self) -> float:
        """CPU seconds that Redis has used; its own account, which counts microseconds."""
        with connect_store(self.settings) as client:
            used = client.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def worker(self, *, processes: int) -> AbstractContextManager[None]:
        """A worker of so many pool processes, warm, for the length of a block."""
        command = penstock("worker", "--name", "bench", "--processes", str(processes), "--log-json")
        return self.running("worker", command, ready="Ready")

    @contextmanager
    def running(self, name: str, command: Sequence[str], *, ready: str) -> Iterator[None]:
        """Another process for the length of a block, once its log says that it is ready."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.environment
            )
        self.processes[name] = process
        try:
            self._wait_until(name, process, ready)
            yield
        finally:
            _stop(process)

    def _wait_until(self, name: str, process: subprocess.Popen[bytes], ready: str) -> None:
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while ready not in self.log(name):
            if process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"{name} did not start:\n{self.log(name)[-2000:]}")
            time.sleep(0.05)


@contextmanager
def penstock_system(
    *,
    processes: int = 1,
    scheduler: bool = True,
    plugins: tuple[str, ...] = ("text", "hostile"),
    every_second: bool = False,
    batch_entry_point: bool = False,
) -> Iterator[System]:
    """Start a system with one worker of so many pool processes (0: no worker); stop it afterwards.

    Redis syncs every write, or, if asked, its file once a second. Each call has an instance of its own, or,
    if asked, those of a batch share one.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-bench-")))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        environment = {
            **os.environ,
            "PENSTOCK_BROKER_URL": redis.url,
            "PENSTOCK_CACHE_DIR": str(_cache_dir()),
            "PENSTOCK_BATCH_ENTRY_POINT": str(batch_entry_point).lower(),
            "BENCH_URL": redis.url,
            "BENCH_CELERY_URL": for_kombu(redis.url),
            "BENCH_WORKER": "1",
        }
        system = System(
            url=redis.url, folder=folder, cache_dir=_cache_dir(), environment=environment, processes={}
        )
        if every_second:
            with connect_store(system.settings) as client:
                client.config_set("appendfsync", "everysec")
        for name in plugins:
            publish(system.settings, name)
        if scheduler:
            stack.enter_context(
                system.running("scheduler", penstock("scheduler", "--log-json"), ready="Ready")
            )
        if processes:
            stack.enter_context(system.worker(processes=processes))
        yield system


def penstock(*arguments: str) -> list[str]:
    """The command line of `penstock`."""
    return [sys.executable, "-P", "-m", "penstock", *arguments]


def publish(settings: Settings, name: str, folder: Path | None = None) -> str:
    """Publish a shipped plugin, or the one in a folder; returns its digest."""
    bundle, tools = _inspected(folder or shipped_plugins() / name)
    with connect_store(settings) as client:
        return RedisCatalog(client, settings.keys).publish(bundle, tools).digest


@cache
def _inspected(folder: Path) -> tuple[Bundle, tuple[Tool, ...]]:
    """Once for all systems of this run: inspecting compiles, which takes half a minute for Python."""
    bundle = read_bundle(folder)
    inspection = inspect_plugin(bundle)
    if not inspection.ok:
        raise RuntimeError(f"{folder.name}: {inspection.problems}")
    return bundle, tuple(inspection.tools)


@cache
def _cache_dir() -> Path:
    """Native code of all systems of this run: it is not what the cases measure, so it is made once."""
    folder = tempfile.mkdtemp(prefix="penstock-bench-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
