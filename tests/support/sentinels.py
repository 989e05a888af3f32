"""A Redis, a replica of it, and three sentinels that make the replica the master when the master is gone."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import redis

from penstock.redis_binary import find_redis_server
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Process
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SERVICE = "ledger"
PASSWORD = "of-the-sentinels"  # noqa: S105  # of a test
_CONFIGURATION = """\
port {port}
bind {host}
dir {folder}
requirepass {password}
sentinel sentinel-pass {password}
sentinel monitor {service} {host} {master_port} 2
sentinel down-after-milliseconds {service} 1000
sentinel failover-timeout {service} 4000
"""


class SentinelSet:
    """Two Redis and three sentinels, who ask clients for a password."""

    def __init__(self, folder: Path) -> None:
        """Describe them; nothing is started."""
        self.master = RedisServer(folder / "r1", durability="always", name="r1")
        self.replica = RedisServer(
            folder / "r2",
            durability="always",
            name="r2",
            options=("--replicaof", LOOPBACK, str(self.master.port), "--repl-diskless-sync-delay", "0"),
        )
        self._ports = [free_port() for _ in range(3)]
        self._sentinels = [self._sentinel(folder / f"s{port}", port) for port in self._ports]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Where the master is, whichever it is."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self._ports)
        return f"sentinel://{hosts}/{SERVICE}/0?sentinel_password={PASSWORD}"

    def __enter__(self) -> Self:
        with self._stack:
            for server in (self.master, self.replica, *self._sentinels):
                self._stack.enter_context(server)
            wait_until(self._complete, 30, "the sentinels know the replica and one another")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def master_port(self) -> int:
        """Whom the first sentinel calls the master."""
        with self._client(self._ports[0]) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def _complete(self) -> bool:
        for port in self._ports:
            with self._client(port) as client:
                try:
                    about = client.sentinel_master(SERVICE)
                except redis.RedisError:
                    return False
            if about["num-slaves"] < 1 or about["num-other-sentinels"] < len(self._ports) - 1:
                return False
        with self.replica.client() as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    @staticmethod
    def _client(port: int) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=port, password=PASSWORD, socket_timeout=5.0)

    def _sentinel(self, folder: Path, port: int) -> Process:
        folder.mkdir(parents=True)
        file = folder / "sentinel.conf"
        file.write_text(
            _CONFIGURATION.format(
                port=port,
                host=LOOPBACK,
                folder=folder,
                password=PASSWORD,
                service=SERVICE,
                master_port=self.master.port,
            )
        )
        return Process(
            [find_redis_server(), str(file), "--sentinel"],
            name=f"s{port}",
            folder=folder,
            ready="+monitor master",
        )
