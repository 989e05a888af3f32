"""Every hostile guest through the executor, and after each of them a good call in the same process.

On each way into wasmtime: lean with a pool, which is what workers take, lean without, and wasmtime's own API.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock_plugins.errors import ToolError
from tests.conformance.guest import Guest
from tests.conformance.guests import GOOD, GUESTS, REFUSED
from tests.conformance.house import WAYS, House


@pytest.fixture(scope="module", params=WAYS.values(), ids=list(WAYS))
def house(request: pytest.FixtureRequest) -> House:
    """The process that all guests share."""
    return House(way=request.param)


@pytest.fixture(autouse=True)
def good_call_afterwards(house: House) -> Iterator[None]:
    """Whatever the guest did, the next call is none the worse for it."""
    yield

    outcome = house.call(GOOD)

    assert outcome.failure is None
    assert outcome.content == GOOD.content
    assert outcome.metadata == {}
    assert outcome.execution_s > 0


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
