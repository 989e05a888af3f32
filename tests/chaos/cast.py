"""The processes of a chaos run: servers, workers, schedulers, a producer, each of which can be hurt."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from penstock_broker_config.keys import Keys
from tests.chaos.entry import NAME_VARIABLE, RINGS_VARIABLE
from tests.chaos.network import HUB, Namespace, hub_address
from tests.chaos.witness import TURNS, publish_witness
from tests.support.brokers import Broker
from tests.support.ports import LOOPBACK
from tests.support.processes import Process
from tests.support.rabbit_server import RabbitServer
from tests.support.redis_server import RedisServer

BrokerName = Literal["redis", "rabbitmq"]

#: Short, so that what was lost is noticed within a run; innocent calls lose their workers often here.
SETTINGS = {
    "PENSTOCK_LEASE_S": "4",
    "PENSTOCK_RING_AFTER_S": "5",
    "PENSTOCK_RING_CAP_S": "10",
    "PENSTOCK_RESERVE_S": "8",
    "PENSTOCK_MAX_ATTEMPTS": "50",
}
#: Starts of one process that may fail in a row.
TRIES = 20
#: Where this source tree is, for processes that run elsewhere.
ROOT = Path(__file__).parents[2]


@dataclass
class Cast:
    """What runs, by name: `redis`, `producer`, workers `w…`, schedulers `s…`."""

    broker: Broker
    folder: Path
    processes: dict[str, Process]
    namespaces: dict[str, Namespace]
    #: Monotonic seconds in which a worker stood still: who, from, to.
    pauses: list[tuple[str, float, float]] = field(default_factory=list)

    @property
    def workers(self) -> list[str]:
        """Names of the workers."""
        return [name for name in self.processes if name.startswith("w")]

    @property
    def schedulers(self) -> list[str]:
        """Names of the schedulers."""
        return [name for name in self.processes if name.startswith("s")]

    @property
    def witness_file(self) -> Path:
        """Lines of guests."""
        return self.folder / "witness.log"

    @property
    def rings_file(self) -> Path:
        """Doorbells that a broker took."""
        return self.folder / "rings"

    def missing(self, name: str) -> bool:
        """Whether it should run and does not. A producer that has done its work may stay away."""
        process = self.processes[name]
        return not process.running and not (name == "producer" and process.exit_status == 0)

    def revive(self, name: str) -> None:
        """Start it on its files again when it is missing, as a supervisor does: until it runs."""
        tries = 0
        while self.missing(name):
            try:
                self.processes[name].restart()
            except (RuntimeError, TimeoutError):
                # It was started while Redis was away, or out of reach.
                tries += 1
                if tries == TRIES:
                    raise

    def kill(self, name: str) -> bool:
        """Kill it with all that it started, and start it again. False: there was nothing to kill."""
        process = self.processes[name]
        alive = process.running
        if alive:
            process.kill()
        self.revive(name)
        return alive

    def kill_pool_process(self, name: str, number: int) -> bool:
        """Kill one of a worker's pool processes; the worker replaces it."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.processes[name].pid).children()
            if children:
                children[number % len(children)].kill()
                return True
        return False

    def pause(self, name: str, seconds: float) -> bool:
        """Stop a worker with all its processes, and continue it later."""
        process = self.processes[name]
        if not process.running:
            return False
        group = process.pid
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGSTOP)
            begun = time.monotonic()
            time.sleep(seconds)
            self.pauses.append((name, begun, time.monotonic()))
            os.killpg(group, signal.SIGCONT)
        return True


@contextmanager
def cast(
    folder: Path,
    *,
    broker: BrokerName = "redis",
    workers: int = 2,
    schedulers: int = 2,
    processes: int = 2,
    networks: bool = True,
    turns: int = TURNS,
    feeder: str = "tests.chaos.feed",
    feed: tuple[str, ...] = (),
    settings: Mapping[str, str] | None = None,
    environments: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Cast]:
    """Start everything, with the witness published.

    Args:
        folder: for files and logs.
        broker: who carries the doorbells.
        workers: how many, each in a network of its own.
        schedulers: how many; the second is in a network of its own.
        processes: of each worker.
        networks: whether there are such networks; else all is on the loopback interface.
        turns: of the empty loop, for each execution of the witness.
        feeder: the producer's module.
        feed: its arguments after the folder. Empty: no producer.
        settings: on top of `SETTINGS`, as `PENSTOCK_…`.
        environments: of single processes, by name.
    """
    with ExitStack() as stack:
        if networks:
            stack.enter_context(hub_address())
        host = HUB if networks else LOOPBACK
        redis_server = RedisServer(folder / "redis", durability="always", host=host)
        stack.enter_context(redis_server)
        rabbit = None
        if broker == "rabbitmq":
            rabbit = stack.enter_context(RabbitServer(folder / "rabbitmq", host=host))
        where = Broker(
            server=rabbit or redis_server,
            url=rabbit.url(rabbit.new_vhost()) if rabbit else redis_server.url,
            redis=redis_server,
        )
        with redis_server.client() as client:
            publish_witness(client, Keys(), turns=turns)
        cast = Cast(broker=where, folder=folder, processes={"redis": redis_server}, namespaces={})
        common = {
            **where.environment,
            **SETTINGS,
            **(settings or {}),
            "PENSTOCK_GUEST_LOG_FILE": str(cast.witness_file),
            "PENSTOCK_CACHE_DIR": str(folder / "cache"),
            RINGS_VARIABLE: str(cast.rings_file),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }

        def add(
            name: str,
            *command: str,
            ready: str | None = None,
            apart: bool = False,
            more: Mapping[str, str] | None = None,
        ) -> None:
            inside: tuple[str, ...] = ()
            if apart and networks:
                namespace = Namespace(len(cast.namespaces) + 1)
                stack.callback(namespace.close)
                namespace.open()
                cast.namespaces[name] = namespace
                inside = namespace.command
            cast.processes[name] = stack.enter_context(
                Process(
                    [*inside, sys.executable, "-m", *command],
                    name=name,
                    folder=folder / name,
                    environment={
                        **common,
                        **(more or {}),
                        NAME_VARIABLE: name,
                        **(environments or {}).get(name, {}),
                    },
                    ready=ready,
                )
            )

        entry = "tests.chaos.entry"
        for k in range(schedulers):
            add(f"s{k + 1}", entry, "scheduler", ready="Ready", apart=k == 1)
        for k in range(workers):
            name = f"w{k + 1}"
            command = (entry, "worker", "--name", name, "--processes", str(processes))
            # Every other worker takes the long way into wasmtime: what holds for one way holds for both.
            path = {"PENSTOCK_SANDBOX_PATH": "public" if k % 2 else "auto"}
            add(name, *command, ready="Ready, warm: ", apart=True, more=path)
        if feed:
            add("producer", feeder, str(folder), *feed)
        yield cast
