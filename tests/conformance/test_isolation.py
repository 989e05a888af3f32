"""Every hostile guest through the executor, and after each of them a good call in the same process."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from wasmtime.component import Component

from penstock_plugins.errors import ToolError
from penstock_plugins.policy import OperatorPolicy
from penstock_workers.engine import METERED, PLAIN, Engines
from penstock_workers.executor import Executor
from penstock_workers.guard import CallGuard
from penstock_workers.outcome import Outcome
from penstock_workers.plugin import WarmPlugin, link_component
from tests.conformance.guest import Guest
from tests.conformance.guests import GOOD, GUESTS, REFUSED

#: What this operator allows everybody; capabilities that a guest must not get are missing on purpose.
OPERATOR = OperatorPolicy(capabilities=frozenset({"log", "env"}), env={"GREETING": "hello"})


class Guests:
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

    def __init__(self) -> None:
        self._guests = Guests()
        self._executor = Executor(
            self._guests, operator_policy=lambda _: OPERATOR, guard=CallGuard(grace_s=20)
        )

    def call(self, guest: Guest) -> Outcome:
        """Call a guest's tool."""
        prepared = self._executor.prepare(self._guests.add(guest), "run")
        return prepared.invoke(orjson.dumps(guest.params), token=guest.name)


@pytest.fixture(scope="module")
def house() -> House:
    """The process that all guests share."""
    return House()


@pytest.fixture(autouse=True)
def good_call_afterwards(house: House) -> Iterator[None]:
    """Whatever the guest did, the next call is none the worse for it."""
    yield

    outcome = house.call(GOOD)

    assert outcome.failure is None
    assert outcome.content == GOOD.content
    assert set(outcome.metadata) == {"execution_ms"}


@pytest.mark.parametrize("guest", GUESTS.values(), ids=list(GUESTS))
def test_guest_gets_what_it_deserves(house: House, guest: Guest) -> None:
    """A guest ends as it must, twice over, and its result says what happened."""
    for _ in range(2):
        outcome = house.call(guest)

        assert (outcome.failure and outcome.failure.code) == guest.code, outcome
        if outcome.failure is not None:
            assert guest.says in outcome.failure.message
            assert outcome.failure.message.isprintable()
        if guest.content is not None:
            assert outcome.content == guest.content
        for name, expected in guest.metadata.items():
            assert outcome.metadata.get(name, []) == expected


@pytest.mark.parametrize("guest", REFUSED.values(), ids=list(REFUSED))
def test_guest_that_asks_for_too_much_is_not_linked(house: House, guest: Guest) -> None:
    """A worker refuses such a component, and names everything that is too much."""
    with pytest.raises(ToolError) as refusal:
        house.call(guest)

    assert refusal.value.code == guest.code
    assert guest.says in refusal.value.message
