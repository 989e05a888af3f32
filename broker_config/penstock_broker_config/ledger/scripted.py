"""What each side of the blocking ledger is built on: a client, and scripts that are loaded when needed."""

from __future__ import annotations

from typing import Any, TypeVar

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.requests import Bounds, Request, Retention
from penstock_broker_config.ledger.scripts import load_script

T = TypeVar("T")


class Scripted:
    """Runs the ledger's scripts on one client."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        retention: Retention | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        """
        Args:
            client: of the store.
            keys: of the system.
            retention: how long finished jobs are kept.
            bounds: how much may wait.
        """
        self._redis = client
        self._retention = retention or Retention()
        self._bounds = bounds or Bounds()
        self._scripts: dict[str, Any] = {}
        self.keys = keys

    def read_scripts(self, *names: str) -> None:
        """Read these now rather than when each is first used; nothing is sent."""
        for name in names:
            self._scripts[name] = self._redis.register_script(load_script(name))

    def _run(self, request: Request[T]) -> T:
        if request.script not in self._scripts:
            self.read_scripts(request.script)
        return request.read(self._scripts[request.script](keys=request.keys, args=request.args))
