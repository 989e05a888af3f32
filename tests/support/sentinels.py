"""A Redis, a replica of it, and three sentinels that make the replica the master when the master is gone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import redis

from penstock.redis_binary import find_redis_server
from tests.support.certificates import Authority
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Process
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

SERVICE = "ledger"
PASSWORD = "of-the-sentinels"  # noqa: S105  # of a test
#: Milliseconds without an answer after which a sentinel takes the master for dead: while a test wants it to
#: live, however slow it is; and when it was killed.
_PATIENCE_MS, _HASTE_MS = 120_000, 1000
_CONFIGURATION = """\
bind {host}
dir {folder}
requirepass {password}
sentinel sentinel-pass {password}
sentinel monitor {service} {host} {master_port} 2
sentinel down-after-milliseconds {service} {patience_ms}
sentinel failover-timeout {service} 4000
"""


class _Member(RedisServer):
    """A server that may speak TLS only."""

    client_tls: Mapping[str, Any] = {}

    def client(self, **options: Any) -> redis.Redis:
        """A client of its own connections; the caller closes it."""
        return redis.Redis(
            host=LOOPBACK, port=self.port, **{"socket_timeout": 30.0, **self.client_tls, **options}
        )


class SentinelSet:
    """Two Redis and three sentinels, who ask clients for a password; with an authority all by TLS alone."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        """Describe them; nothing is started."""
        self._authority = authority
        self._tls = _tls_options(authority) if authority else ()
        self.master = self._server(folder / "r1")
        following = ("--replicaof", LOOPBACK, str(self.master.port), "--repl-diskless-sync-delay", "0")
        self.replica = self._server(folder / "r2", *following)
        self._ports = [free_port() for _ in range(3)]
        self._sentinels = [self._sentinel(folder / f"s{port}", port) for port in self._ports]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """Where the master is, whichever it is."""
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in self._ports)
        tail = f"{hosts}/{SERVICE}/0?sentinel_password={PASSWORD}"
        if self._authority is None:
            return f"sentinel://{tail}"
        return f"sentinels://{tail}&ssl_ca_certs={self._authority.ca}"

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
        """Whom the last sentinel calls the master."""
        with self._client(self._ports[-1]) as client:
            return int(client.sentinel_get_master_addr_by_name(SERVICE)[1])

    def kill_first_host(self) -> None:
        """Kill the master and the sentinel that clients ask first, as when they were on one machine."""
        self.master.kill()
        self._sentinels[0].kill()
        for port in self._ports[1:]:
            with self._client(port) as client:
                client.sentinel_set(SERVICE, "down-after-milliseconds", _HASTE_MS)

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

    def _client(self, port: int) -> redis.Redis:
        return redis.Redis(
            host=LOOPBACK, port=port, password=PASSWORD, socket_timeout=5.0, **self._client_tls()
        )

    def _client_tls(self) -> dict[str, Any]:
        return {"ssl": True, "ssl_ca_certs": str(self._authority.ca)} if self._authority else {}

    def _server(self, folder: Path, *options: str) -> RedisServer:
        server = _Member(folder, durability="always", name=folder.name, options=(*options, *self._tls))
        if self._tls:  # the port that it was given is TLS's
            server.argv = (*server.argv, *self._port_options(server.port))
            server.client_tls = self._client_tls()
        return server

    def _port_options(self, port: int) -> tuple[str, ...]:
        return ("--port", "0", "--tls-port", str(port)) if self._tls else ("--port", str(port))

    def _sentinel(self, folder: Path, port: int) -> Process:
        folder.mkdir(parents=True)
        file = folder / "sentinel.conf"
        file.write_text(
            _CONFIGURATION.format(
                host=LOOPBACK,
                folder=folder,
                password=PASSWORD,
                service=SERVICE,
                master_port=self.master.port,
                patience_ms=_PATIENCE_MS,
            )
        )
        return Process(
            [find_redis_server(), str(file), "--sentinel", *self._tls, *self._port_options(port)],
            name=f"s{port}",
            folder=folder,
            ready="+monitor master",
        )


def _tls_options(authority: Authority) -> tuple[str, ...]:
    certificate, key = authority.certificate("server")
    return (
        *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(authority.ca), "--tls-auth-clients", "no", "--tls-replication", "yes"),
    )
