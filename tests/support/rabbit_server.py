"""A RabbitMQ of a test run's own, with node name, ports, files and cookie apart from the machine's."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import READY_TIMEOUT_S, Process

#: Debian's command on the PATH becomes the user `rabbitmq`, who may not write our folders; these do not.
_DEBIAN_SCRIPTS = Path("/usr/lib/rabbitmq/bin")
#: Seconds for `rabbitmqctl`, which boots an Erlang machine for each command.
_CONTROL_TIMEOUT_S = 60.0

_CONFIGURATION = """\
listeners.tcp.1 = {host}:{port}
loopback_users = none
log.file = false
log.console = true
log.console.level = info
disk_free_limit.absolute = 50MB
raft.wal_max_size_bytes = 4194304
"""


class _NameServer(Process):
    """Erlang's; a node that does not find it does not start."""

    port = 0

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it accepts connections."""
        self.wait_while_running(self._accepts, timeout_s, "it accepts connections")

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=5):
            return True
        return False


class RabbitServer(Process):
    """A `rabbitmq-server` process. It takes seconds to start, so a run shares one: a vhost for each test."""

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "rabbitmq",
        shared: bool = False,
        host: str = LOOPBACK,
        settings: str = "",
    ) -> None:
        """Describe the server; nothing is started.

        Args:
            folder: for its database and its log.
            name: for messages.
            shared: lives longer than one test.
            host: address at which it listens.
            settings: more lines of its configuration.

        Raises:
            RuntimeError: RabbitMQ is not installed.
        """
        scripts = _scripts()
        if scripts is None:
            raise RuntimeError(missing_rabbit())
        self._control = scripts / "rabbitmqctl"
        self.host = host
        self._settings = settings
        self.port = free_port()
        self.node = f"penstock-{secrets.token_hex(4)}@localhost"
        self._vhosts = 0
        epmd_port = free_port()
        super().__init__(
            [scripts / "rabbitmq-server"],
            name=name,
            folder=folder,
            environment=_environment(folder, self.node, epmd_port=epmd_port, dist_port=free_port()),
            shared=shared,
        )
        # Erlang's name server: started by the node itself it would be a daemon that outlives the tests.
        self._names = _NameServer(
            ["epmd", "-port", str(epmd_port), "-address", LOOPBACK],
            name=f"{name}-epmd",
            folder=folder,
            shared=shared,
        )
        self._names.port = epmd_port

    def start(self) -> Self:
        """Start it and wait until it accepts connections."""
        _write_configuration(
            self.folder, _CONFIGURATION.format(host=self.host, port=self.port) + self._settings
        )
        if not self._names.running:
            self._names.start()
        return super().start()

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until its log says so."""
        self.wait_for_log("Server startup complete", timeout_s)

    def close(self) -> None:
        """Kill it and its name server."""
        super().close()
        self._names.close()

    def url(self, vhost: str = "/") -> str:
        """Where it listens."""
        return f"amqp://guest:guest@{self.host}:{self.port}/{'%2F' if vhost == '/' else vhost}"

    def new_vhost(self) -> str:
        """Make a virtual host where nothing is yet: its name."""
        self._vhosts += 1
        vhost = f"test-{self._vhosts}"
        # One command for both steps: each start of rabbitmqctl costs half a second.
        self.control(
            "eval",
            f'ok = rabbit_vhost:add(<<"{vhost}">>, <<"tests">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{vhost}">>, '
            '<<".*">>, <<".*">>, <<".*">>, <<"tests">>).',
        )
        return vhost

    def settle(self) -> None:
        """Have the node's tables written now.

        A quorum queue is listed in one that is written half a second late. A node killed within that time
        comes back with a queue that never gets a leader, and whoever uses it waits for a minute, in vain.
        """
        self.control("eval", "[ok = dets:sync(Table) || Table <- dets:all()].")

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` against this node: what it prints.

        Raises:
            RuntimeError: the command failed; with what it said.
        """
        done = subprocess.run(
            [self._control, "--quiet", *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CONTROL_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {arguments[0]} failed: {done.stdout}{done.stderr}")
        return done.stdout


def missing_rabbit() -> str | None:
    """Why there can be no RabbitMQ here. None: there can."""
    if _scripts() is None:
        return "rabbitmq-server is not installed (as root: apt-get install rabbitmq-server)"
    if shutil.which("epmd") is None:
        return "Erlang's epmd is not on the PATH"
    return None


def _scripts() -> Path | None:
    """Where the server's own scripts are, without a distribution's wrapper around them."""
    if (_DEBIAN_SCRIPTS / "rabbitmq-server").exists():
        return _DEBIAN_SCRIPTS
    found = shutil.which("rabbitmq-server")
    return Path(found).resolve().parent if found else None


def _environment(folder: Path, node: str, *, epmd_port: int, dist_port: int) -> dict[str, str]:
    return {
        "HOME": str(folder),  # where Erlang looks for the cookie
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_DIST_PORT": str(dist_port),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "expanded"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false",
        "RABBITMQ_CTL_ERL_ARGS": "-start_epmd false",
        # The script then becomes the server instead of waiting beside it: our process id is the server's.
        "RUNNING_UNDER_SYSTEMD": "true",
        "NOTIFY_SOCKET": "",
    }


def _write_configuration(folder: Path, settings: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rabbitmq.conf").write_text(settings)
    (folder / "enabled_plugins").write_text("[].\n")
    cookie = folder / ".erlang.cookie"
    if not cookie.exists():
        cookie.touch(mode=0o600)
        cookie.write_text(secrets.token_hex(16))
