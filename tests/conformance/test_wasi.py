"""What of WASI a guest gets that has the capability, and that two frozen calls are the same."""

from __future__ import annotations

import pytest

from penstock_plugins.errors import PermissionDeniedError
from penstock_workers.surroundings import Freeze
from tests.conformance.guest import Guest
from tests.conformance.house import WAYS, WITH_WASI, House
from tests.conformance.wasi_guests import CHANCE_AND_TIME, WASI_GUESTS


@pytest.fixture(scope="module", params=WAYS.values(), ids=list(WAYS))
def house(request: pytest.FixtureRequest) -> House:
    """A process whose operator grants WASI."""
    return House(WITH_WASI, way=request.param)


@pytest.mark.parametrize("guest", WASI_GUESTS.values(), ids=list(WASI_GUESTS))
def test_guest_gets_harmless_wasi_and_no_more(house: House, guest: Guest) -> None:
    """Streams are the log, there is nothing to read, and what could wait or grow traps."""
    outcome = house.call(guest)

    assert (outcome.failure and outcome.failure.code) == guest.code, outcome
    if outcome.failure is not None:
        assert guest.says in outcome.failure.message
    for name, expected in guest.metadata.items():
        assert outcome.metadata.get(name, []) == expected


@pytest.mark.parametrize("guest", WASI_GUESTS.values(), ids=list(WASI_GUESTS))
def test_guest_without_the_capability_is_not_run(guest: Guest) -> None:
    """WASI is granted by the operator, or the component does not run."""
    house = House()

    with pytest.raises(PermissionDeniedError, match="capability `wasi`"):
        house.call(guest)


def test_real_calls_differ(house: House) -> None:
    """Random numbers are random where nobody asked otherwise."""
    assert house.call(CHANCE_AND_TIME).content != house.call(CHANCE_AND_TIME).content


def test_frozen_calls_are_the_same() -> None:
    """With the clock and chance frozen, a call gives the same result in every process."""
    first = House(WITH_WASI, surroundings=Freeze(at_s=1e9, seed=7))
    second = House(WITH_WASI, surroundings=Freeze(at_s=1e9, seed=7))
    other = House(WITH_WASI, surroundings=Freeze(at_s=1e9, seed=8))

    contents = {house.call(CHANCE_AND_TIME).content for house in (first, first, second)}

    assert len(contents) == 1
    assert other.call(CHANCE_AND_TIME).content not in contents
