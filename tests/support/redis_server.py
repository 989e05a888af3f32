"""A Redis of a test's own, on a free port and its own files, that can be killed and comes back there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import redis

from penstock.redis_binary import find_redis_server
from penstock_plugins.errors import UnreachableError
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import READY_TIMEOUT_S, Process

#: What is on disk when a write is answered: nothing at all, what was written a second ago, everything.
Durability = Literal["none", "everysec", "always"]


class RedisServer(Process):
    """A `redis-server` process; `durability="always"` is what the ledger's promise asks for."""

    def __init__(
        self,
        folder: Path,
        *,
        durability: Durability = "none",
        name: str = "redis",
        shared: bool = False,
        host: str = LOOPBACK,
        options: Sequence[str] = (),
    ) -> None:
        """Describe the server; nothing is started.

        Args:
            folder: for its append-only file and its log.
            durability: what a killed server still has.
            name: for messages.
            shared: lives longer than one test.
            host: address at which it listens.
            options: more of the server's own, which come last and win.
        """
        self.host = host
        self.port = free_port()
        self.durability = durability
        append_only = "no" if durability == "none" else "yes"
        fsync = "no" if durability == "none" else durability
        super().__init__(
            [
                find_redis_server(),
                *("--bind", host, "--port", str(self.port), "--dir", str(folder)),
                *("--appendonly", append_only, "--appendfsync", fsync, "--save", ""),
                *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
                *("--protected-mode", "yes" if host == LOOPBACK else "no"),
                *options,
            ],
            name=name,
            folder=folder,
            shared=shared,
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://{self.host}:{self.port}/0"

    def client(self, **options: Any) -> redis.Redis:
        """A client of its own connections; the caller closes it."""
        return redis.Redis.from_url(self.url, **{"socket_timeout": 30.0, **options})

    def flush(self) -> None:
        """Forget everything."""
        with self.client() as client:
            client.flushall()

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it answers, which is after it has read its append-only file back."""
        with self.client() as client:
            self.wait_while_running(lambda: _answers(client), timeout_s, "Redis answers")


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def missing_redis() -> str | None:
    """Why there can be no Redis here. None: there can."""
    try:
        find_redis_server()
    except UnreachableError as error:
        return str(error)
    return None
