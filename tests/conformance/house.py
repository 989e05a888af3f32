"""A process's executor over guests, linked in process: what a pool process has, without its surroundings.

A house has one of three ways into wasmtime. All guests must get the same from each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import orjson
from wasmtime.component import Component

from penstock_plugins.policy import OperatorPolicy
from penstock_workers.artifacts.source import OpenedArtifact
from penstock_workers.engine import METERED, PLAIN, EngineSettings
from penstock_workers.executor import Executor, PreparedTool
from penstock_workers.guard import CallGuard
from penstock_workers.linking import PluginLinker
from penstock_workers.outcome import Outcome
from penstock_workers.paths import SandboxPath
from penstock_workers.plugin import WarmPlugin
from penstock_workers.pool import Pool
from penstock_workers.surroundings import RealSurroundings, Surroundings
from tests.conformance.guest import Guest

#: What this operator allows everybody; what a guest must not get is missing on purpose.
OPERATOR = OperatorPolicy(capabilities=frozenset({"log", "env"}), env={"GREETING": "hello"})
WITH_WASI = OperatorPolicy(capabilities=frozenset({"log", "wasi"}))


@dataclass(frozen=True)
class Way:
    """How calls reach wasmtime, and where their memory comes from."""

    path: SandboxPath
    pool: Pool | None


#: By name, for parametrised tests.
WAYS = {
    "pooled": Way("lean", Pool()),
    "lean": Way("lean", None),
    "public": Way("public", None),
}


class LinkedGuests:
    """Links guests by digest, as a worker's cache would."""

    #: Native code, by digest of the artifact and by settings: the same for every way, which is a fact that
    #: the workers' caches rely on.
    _compiled: ClassVar[dict[tuple[str, EngineSettings], bytes]] = {}

    def __init__(self, way: Way = WAYS["pooled"]) -> None:
        self._linker = PluginLinker(way.path, pool=way.pool)
        self._guests: dict[str, Guest] = {}
        self._linked: dict[tuple[str, bool], WarmPlugin] = {}

    def add(self, guest: Guest) -> str:
        """Take a guest in; returns its digest."""
        self._guests[guest.bundle.digest] = guest
        return guest.bundle.digest

    def get(self, digest: str, *, metered: bool = False) -> WarmPlugin:
        """See `WarmPlugins`."""
        if (digest, metered) not in self._linked:
            self._linked[digest, metered] = self._link(self._guests[digest], METERED if metered else PLAIN)
        return self._linked[digest, metered]

    def _link(self, guest: Guest, settings: EngineSettings) -> WarmPlugin:
        compiled = self._compiled.get((guest.bundle.digest, settings))
        if compiled is None:
            compiled = bytes(Component(self._linker.engines.get(settings), guest.wasm).serialize())
            self._compiled[guest.bundle.digest, settings] = compiled
        fd = os.memfd_create("guest")
        os.write(fd, compiled)
        with OpenedArtifact(
            fd=fd, size_bytes=len(compiled), settings=settings, record=guest.record
        ) as opened:
            return self._linker.link(opened)


class House:
    """One process's executor."""

    def __init__(
        self,
        operator: OperatorPolicy = OPERATOR,
        *,
        way: Way = WAYS["pooled"],
        guard: CallGuard | None = None,
        surroundings: Callable[[], Surroundings] = RealSurroundings,
    ) -> None:
        self.guard = guard or CallGuard(grace_s=20)
        self._guests = LinkedGuests(way)
        self._executor = Executor(
            self._guests, operator_policy=lambda _: operator, guard=self.guard, surroundings=surroundings
        )

    def prepare(self, guest: Guest, *, timeout_s: float | None = None) -> PreparedTool:
        """A guest's tool, ready to be called."""
        return self._executor.prepare(self._guests.add(guest), "run", timeout_s=timeout_s)

    def call(self, guest: Guest) -> Outcome:
        """Call a guest's tool with the guest's params."""
        return self.prepare(guest).invoke(orjson.dumps(guest.params), token=guest.name)
