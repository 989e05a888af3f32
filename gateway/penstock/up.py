"""`penstock up`: one machine's whole system in one terminal: Redis, the scheduler and the workers.

It writes where it listens into the state folder, and whoever finds nothing else configured attaches to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from penstock.embedded import EmbeddedRedis, make_private
from penstock.loglines import LogLine
from penstock.pidlock import PidLock
from penstock.shipped import shipped_folders
from penstock.supervisor import FIRST_BACKOFF_S, Child, Supervisor
from penstock.tether import tethered
from penstock_broker_config.location import RUNNING_FILE
from penstock_broker_config.settings import Settings
from penstock_broker_config.urls import is_redis, redacted
from penstock_plugins.errors import PenstockError

#: Gets an event and the name of who says it.
Say = Callable[[str, LogLine], None]

#: Our own interpreter and package, whatever the PATH and the current folder hold.
PENSTOCK = (sys.executable, "-P", "-m", "penstock")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What to run."""

    #: Worker processes, each with a pool of its own.
    workers: int = 1
    #: Pool processes of each worker. 0: as the settings say.
    processes: int = 0
    #: Plugin folders to publish at the start.
    plugins: tuple[Path, ...] = ()
    #: Publish the shipped plugins as well.
    shipped: bool = True
    #: Start a Redis of our own even when one is configured.
    own_redis: bool = False


async def run_up(settings: Settings, options: UpOptions, say: Say) -> int:
    """Run the system until it is told to stop.

    Returns:
        The exit code: 130 after Ctrl-C, 0 after SIGTERM, 2 when a part refuses its configuration.

    Raises:
        ConfigurationError: a setting that no part could use.
        AlreadyRunningError: another one runs with this state folder; names it.
        UnreachableError: the embedded Redis does not start.
    """
    if options.own_redis:
        settings = settings.model_copy(update={"broker_url": None, "redis_url": None})
    # A bad key is said here, not by every part in turn.
    settings.signing_secret()
    settings.fleet_secret()
    make_private(settings.state_dir)
    lock = PidLock(settings.state_dir / "up.lock", holder="`penstock up`")
    lock.acquire()
    try:
        return await _System(settings, options, say).run()
    finally:
        lock.release()


class _System:
    def __init__(self, settings: Settings, options: UpOptions, say: Say) -> None:
        self._settings = settings
        self._options = options
        self._print = say
        self._not_ready: set[str] = set()
        self._stop = asyncio.Event()
        self._hard = asyncio.Event()
        self._interrupted = False

    async def run(self) -> int:
        self._listen_to_signals()
        redis = self._embedded_redis()
        try:
            if redis is not None:
                redis.start()
            where = self._where(redis)
            # Those that compile at once are there before the workers; the others while they run.
            shipped = shipped_folders() if self._options.shipped else []
            await self._publish(where, [*shipped[:1], *self._options.plugins])
            with self._announced(where):
                return await self._supervise(where, redis, shipped[1:])
        finally:
            if redis is not None:
                redis.stop()
                self._say("redis", "stopped")

    def _embedded_redis(self) -> EmbeddedRedis | None:
        broker = self._settings.broker_url
        if self._settings.redis_url is not None or (broker is not None and is_redis(broker)):
            return None
        return EmbeddedRedis(self._settings.state_dir / "redis")

    def _where(self, redis: EmbeddedRedis | None) -> dict[str, str]:
        store = self._settings.redis_url or (redis.url if redis else self._settings.broker_url or "")
        broker = self._settings.broker_url or store
        how = "ours, every write on disk before it is answered" if redis else "as configured"
        self._say("redis", f"{redacted(store)} ({how})")
        if broker != store:
            self._say("broker", redacted(broker))
        return {"PENSTOCK_REDIS_URL": store, "PENSTOCK_BROKER_URL": broker}

    async def _publish(self, where: dict[str, str], folders: Sequence[Path]) -> None:
        """In a process of its own: reading a plugin's tools runs the plugin."""
        if not folders:
            return
        process = await asyncio.create_subprocess_exec(
            *tethered([*PENSTOCK, "plugin", "publish", *(str(folder.absolute()) for folder in folders)]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **where},
            start_new_session=True,
        )
        try:
            if process.stdout is not None:
                async for line in process.stdout:
                    self._say("plugins", line.decode(errors="replace").strip())
            if await process.wait() != 0:
                self._say("up", "not every plugin was published: see the lines above")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                await process.wait()

    @contextlib.contextmanager
    def _announced(self, where: dict[str, str]) -> Iterator[None]:
        """Others find us by this file while we run (I-6)."""
        path = self._settings.state_dir / RUNNING_FILE
        running = {
            "redis_url": where["PENSTOCK_REDIS_URL"],
            "broker_url": where["PENSTOCK_BROKER_URL"],
            "pid": os.getpid(),
        }
        unfinished = path.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(orjson.dumps(running))
        unfinished.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)

    async def _supervise(self, where: dict[str, str], redis: EmbeddedRedis | None, later: list[Path]) -> int:
        groups = self._groups(where)
        self._not_ready = {child.name for group in groups for child in group}
        supervisor = Supervisor(groups, say=self._say)
        supervisor.start()
        beside = [asyncio.create_task(self._publish(where, later))]
        if redis is not None:
            beside.append(asyncio.create_task(self._keep_redis(redis)))
        await _first(self._stop, supervisor.gave_up)
        if supervisor.refused is None:
            self._say("up", "stopping: calls that run may finish; Ctrl-C again ends them now")
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await supervisor.stop(soft_s=self._settings.soft_shutdown_s, hard=self._hard)
        if supervisor.refused is not None:
            self._say("up", f"{supervisor.refused} cannot run as it is configured: see its last line")
            return 2
        return 130 if self._interrupted else 0

    def _groups(self, where: dict[str, str]) -> list[list[Child]]:
        processes = ("--processes", str(self._options.processes)) if self._options.processes else ()
        workers = [
            Child(
                name=name, command=(*PENSTOCK, "worker", "--log-json", "--name", name, *processes), env=where
            )
            for name in (f"worker-{n}" for n in range(1, self._options.workers + 1))
        ]
        scheduler = Child(name="scheduler", command=(*PENSTOCK, "scheduler", "--log-json"), env=where)
        return [workers, [scheduler]]

    async def _keep_redis(self, redis: EmbeddedRedis) -> None:
        while True:
            status = await asyncio.to_thread(redis.wait)
            self._say("redis", f"ended with status {status}; starting it again")
            await asyncio.sleep(FIRST_BACKOFF_S)
            redis.stop()
            try:
                redis.start()  # from this thread, which lives as long as Redis should (see tether)
            except PenstockError as error:
                self._say("redis", str(error))

    def _say(self, name: str, line: str) -> None:
        if not line.strip():
            return
        event = LogLine.read(line)
        self._print(name, event)
        if event.action == "ready" and name in self._not_ready:
            self._not_ready.discard(name)
            if not self._not_ready:
                self._print("up", LogLine(text="ready", action="up"))

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._asked_to_stop, True)
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_stop, False)
        loop.add_signal_handler(signal.SIGHUP, self._asked_to_stop, False)  # the terminal was closed

    def _asked_to_stop(self, interrupted: bool) -> None:
        if self._stop.is_set() and interrupted:
            self._hard.set()
        self._interrupted = self._interrupted or interrupted
        self._stop.set()


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
