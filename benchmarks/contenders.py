"""Penstock and its peers, alike to a case: start a worker, send calls, read every result.

Each does what its documentation shows first: its own defaults, the same Redis, JSON, results kept an hour.
Penstock runs `text.slug` in its sandbox, the others the same as a plain Python function.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.plain_celery import make_app
from benchmarks.system import System
from penstock import Producer

if TYPE_CHECKING:
    from benchmarks import plain_dramatiq, plain_taskiq

#: Seconds in which all results of a turn must be there.
WAIT_S = 300.0
#: Messages that taskiq sends at a time: its clients are asynchronous.
_TASKIQ_AT_ONCE = 50


class Client(Protocol):
    """The side that sends and reads."""

    def one(self) -> None:
        """Send a call and wait for its result."""
        ...

    def send(self, calls: int) -> None:
        """Send calls; their results are read by nobody."""
        ...

    def run(self, calls: int) -> None:
        """Send calls and read all results."""
        ...


class Contender(Protocol):
    """One task queue."""

    name: str

    def worker(self, system: System, *, processes: int) -> AbstractContextManager[None]:
        """Its worker, with so many processes, for the length of a block."""
        ...

    def client(self, system: System) -> AbstractContextManager[Client]:
        """Its client, for the length of a block."""
        ...


class Penstock:
    """Ours: `map` for many calls, `submit` for one."""

    name = "Penstock"

    def worker(self, system: System, *, processes: int) -> AbstractContextManager[None]:
        return system.worker(processes=processes)

    @contextmanager
    def client(self, system: System) -> Iterator[Client]:
        with system.producer() as producer:
            yield _PenstockClient(producer)


class _PenstockClient:
    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    def one(self) -> None:
        self._producer.submit("text.slug", {"text": "Hello World"}).result(30)

    def send(self, calls: int) -> None:
        for n in range(calls):
            self._producer.submit("text.slug", {"text": f"Hello World {n}"})

    def run(self, calls: int) -> None:
        job = self._producer.map("text.slug", ({"text": f"Hello World {n}"} for n in range(calls)))
        done = sum(result.success for result in job.results(WAIT_S))
        if done != calls:
            raise RuntimeError(f"{calls - done} calls failed")


class Celery:
    """One Celery task per call."""

    name = "Celery"

    def worker(self, system: System, *, processes: int) -> AbstractContextManager[None]:
        command = [
            *(sys.executable, "-m", "celery", "-A", "benchmarks.plain_celery", "worker"),
            *("-c", str(processes), "-l", "INFO", "--without-gossip", "--without-mingle"),
        ]
        return system.running("celery", command, ready=" ready.")

    @contextmanager
    def client(self, system: System) -> Iterator[Client]:
        app = make_app(system.environment["BENCH_CELERY_URL"])
        try:
            yield _CeleryClient(app.tasks["plain.slug"])
        finally:
            app.close()


class _CeleryClient:
    def __init__(self, slug: Any) -> None:
        self._slug = slug

    def one(self) -> None:
        self._slug.delay("Hello World").get(timeout=30)

    def send(self, calls: int) -> None:
        for n in range(calls):
            self._slug.delay(f"Hello World {n}")

    def run(self, calls: int) -> None:
        for result in [self._slug.delay(f"Hello World {n}") for n in range(calls)]:
            result.get(timeout=WAIT_S)


class Dramatiq:
    """One Dramatiq message per call; eight threads in each process, as it starts by itself."""

    name = "Dramatiq"

    def worker(self, system: System, *, processes: int) -> AbstractContextManager[None]:
        command = [
            *(sys.executable, "-m", "dramatiq", "benchmarks.plain_dramatiq", "-p", str(processes), "-t", "8"),
        ]
        return system.running("dramatiq", command, ready="ready for action")

    @contextmanager
    def client(self, system: System) -> Iterator[Client]:
        from benchmarks.plain_dramatiq import Slugs  # it may not be installed

        slugs = Slugs(system.url)
        try:
            yield _DramatiqClient(slugs)
        finally:
            slugs.broker.close()


class _DramatiqClient:
    def __init__(self, slugs: plain_dramatiq.Slugs) -> None:
        self._slugs = slugs

    def one(self) -> None:
        self._read(self._slugs.slug.send("Hello World"))

    def send(self, calls: int) -> None:
        for n in range(calls):
            self._slugs.slug.send(f"Hello World {n}")

    def run(self, calls: int) -> None:
        for message in [self._slugs.slug.send(f"Hello World {n}") for n in range(calls)]:
            self._read(message)

    def _read(self, message: Any) -> None:
        message.get_result(backend=self._slugs.results, block=True, timeout=int(WAIT_S * 1000))


class Taskiq:
    """One taskiq message per call; a hundred asynchronous tasks in each process, as it starts by itself."""

    name = "taskiq"

    def worker(self, system: System, *, processes: int) -> AbstractContextManager[None]:
        command = [
            *(sys.executable, "-m", "taskiq", "worker", "benchmarks.plain_taskiq:broker"),
            *("-w", str(processes), "--log-level", "INFO"),
        ]
        return system.running("taskiq", command, ready="Listening started")

    @contextmanager
    def client(self, system: System) -> Iterator[Client]:
        from benchmarks.plain_taskiq import Slugs  # it may not be installed

        with asyncio.Runner() as loop:
            slugs = Slugs(system.url)
            loop.run(slugs.broker.startup())
            try:
                yield _TaskiqClient(loop, slugs)
            finally:
                loop.run(slugs.broker.shutdown())


class _TaskiqClient:
    def __init__(self, loop: asyncio.Runner, slugs: plain_taskiq.Slugs) -> None:
        self._loop = loop
        self._slug = slugs.slug

    def one(self) -> None:
        self._loop.run(self._one())

    def send(self, calls: int) -> None:
        self._loop.run(self._send(calls))

    def run(self, calls: int) -> None:
        self._loop.run(self._run(calls))

    async def _one(self) -> None:
        await self._read(await self._slug.kiq("Hello World"))

    async def _send(self, calls: int) -> list[Any]:
        sent: list[Any] = []
        for first in range(0, calls, _TASKIQ_AT_ONCE):
            texts = (f"Hello World {n}" for n in range(first, min(calls, first + _TASKIQ_AT_ONCE)))
            sent += await asyncio.gather(*(self._slug.kiq(text) for text in texts))
        return sent

    async def _run(self, calls: int) -> None:
        for task in await self._send(calls):
            await self._read(task)

    async def _read(self, task: Any) -> None:
        await task.wait_result(check_interval=0.001, timeout=WAIT_S)


def peers() -> list[Contender]:
    """Celery, and those of the `bench` extra that are installed; says which are not."""
    found: list[Contender] = [Celery()]
    for contender, modules in ((Dramatiq(), ["dramatiq"]), (Taskiq(), ["taskiq", "taskiq_redis"])):
        if all(importlib.util.find_spec(module) for module in modules):
            found.append(contender)
        else:
            print(f"  {contender.name} is not installed and left out: pip install -e '.[bench]'", flush=True)
    return found
