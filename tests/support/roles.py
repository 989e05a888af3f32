"""A Redis with a user for each role, made by `compose/init.py` as an operator makes it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from tests.support.brokers import Broker
from tests.support.commands import output_of
from tests.support.redis_server import RedisServer

COMPOSE = Path(__file__).parents[2] / "compose"


def initialise(folder: Path, *options: str) -> None:
    """Run `compose/init.py` for that folder: `.env` and `secrets/`."""
    folder.mkdir(parents=True, exist_ok=True)
    output_of([sys.executable, COMPOSE / "init.py", "--folder", folder, *options])


def assignments(file: Path) -> dict[str, str]:
    """What an environment file sets."""
    lines = file.read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


class RolesRedisServer(RedisServer):
    """A Redis that knows the roles and nobody else. Its `url` is the operator's."""

    def __init__(self, folder: Path, *, name: str = "roles-redis", shared: bool = False) -> None:
        """Describe the server; nothing is started."""
        initialise(folder)
        self._inside = assignments(folder / ".env")
        self._secrets = folder / "secrets"
        acl_file = self._secrets / "users.acl"
        super().__init__(
            folder, durability="always", name=name, shared=shared, options=("--aclfile", str(acl_file))
        )

    @property
    def url(self) -> str:
        """The operator's."""
        return self.url_of("operator")

    def url_of(self, role: str) -> str:
        """How that role connects."""
        if role in {"producer", "operator"}:
            given = assignments(self._secrets / f"{role}.env")["PENSTOCK_REDIS_URL"]
        else:
            given = self._inside[f"{role.upper()}_REDIS_URL"]
        return f"redis://{urlsplit(given).netloc.rpartition('@')[0]}@{self.host}:{self.port}/0"

    def environment_of(self, role: str) -> dict[str, str]:
        """What a process of that role finds in its environment."""
        return {"PENSTOCK_BROKER_URL": self.url_of(role), "PENSTOCK_REDIS_URL": self.url_of(role)}

    def broker(self) -> Broker:
        """This server for doorbells and ledger."""
        return Broker(server=self, url=self.url, redis=self)

    def denials(self) -> list[str]:
        """What was refused since the start: who, what, and in which command."""
        with self.client(decode_responses=True) as client:
            log = cast("list[dict[str, Any]]", client.acl_log())
        return [f"{e['username']}: {e['reason']} {e['object']} ({e['context']})" for e in log]
