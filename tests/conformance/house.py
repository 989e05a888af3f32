"""A process's executor over guests, linked in process: what a pool process has, without its surroundings."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from wasmtime.component import Component

from penstock_plugins.policy import OperatorPolicy
from penstock_workers.engine import METERED, PLAIN, Engines
from penstock_workers.executor import Executor, PreparedTool
from penstock_workers.guard import CallGuard
from penstock_workers.outcome import Outcome
from penstock_workers.plugin import WarmPlugin, link_component
from penstock_workers.surroundings import RealSurroundings, Surroundings
from tests.conformance.guest import Guest

#: What this operator allows everybody; what a guest must not get is missing on purpose.
OPERATOR = OperatorPolicy(capabilities=frozenset({"log", "env"}), env={"GREETING": "hello"})
WITH_WASI = OperatorPolicy(capabilities=frozenset({"log", "wasi"}))


class LinkedGuests:
    """Links guests by digest, as a worker's cache would."""

    def __init__(self) -> None:
        self._engines = Engines()
        self._guests: dict[str, Guest] = {}
        self._linked: dict[tuple[str, bool], WarmPlugin] = {}

    def add(self, guest: Guest) -> str:
        """Take a guest in; returns its digest."""
        self._guests[guest.bundle.digest] = guest
        return guest.bundle.digest

    def get(self, digest: str, *, metered: bool = False) -> WarmPlugin:
        """See `WarmPlugins`."""
        if (digest, metered) not in self._linked:
            guest = self._guests[digest]
            settings = METERED if metered else PLAIN
            engine = self._engines.get(settings)
            component = Component(engine, guest.wasm)
            plugin = link_component(engine, component, guest.record, size_bytes=1, settings=settings)
            self._linked[digest, metered] = plugin
        return self._linked[digest, metered]


class House:
    """One process's executor."""

    def __init__(
        self,
        operator: OperatorPolicy = OPERATOR,
        *,
        guard: CallGuard | None = None,
        surroundings: Callable[[], Surroundings] = RealSurroundings,
    ) -> None:
        self.guard = guard or CallGuard(grace_s=20)
        self._guests = LinkedGuests()
        self._executor = Executor(
            self._guests, operator_policy=lambda _: operator, guard=self.guard, surroundings=surroundings
        )

    def prepare(self, guest: Guest, *, timeout_s: float | None = None) -> PreparedTool:
        """A guest's tool, ready to be called."""
        return self._executor.prepare(self._guests.add(guest), "run", timeout_s=timeout_s)

    def call(self, guest: Guest) -> Outcome:
        """Call a guest's tool with the guest's params."""
        return self.prepare(guest).invoke(orjson.dumps(guest.params), token=guest.name)
