"""The order in which a worker looks at its queues."""

from __future__ import annotations

from collections import Counter

from penstock_broker_config.queues import BULK, DEFAULT, HIGH
from penstock_broker_config.urgency import TURN, UrgentFirst

POOLS = ["penstock.pool.a", "penstock.pool.b"]
ALL = {BULK, DEFAULT, HIGH, *POOLS}


def serve(order: UrgentFirst, full: set[str], messages: int) -> list[str]:
    """What comes while these queues always have messages."""
    return [
        order.rotate(next(name for name in order.consume(len(ALL)) if name in full)) for _ in range(messages)
    ]


def order_of(queues: set[str]) -> UrgentFirst:
    """For these queues."""
    order = UrgentFirst()
    order.update(queues)
    return order


def test_the_high_queue_is_served_first_and_the_bulk_queue_last() -> None:
    """But for the one message in so many that is somebody else's."""
    came = Counter(serve(order_of(ALL), {HIGH, BULK}, 10 * TURN))

    assert came == {HIGH: 70, BULK: 10}


def test_queues_that_are_as_urgent_as_each_other_are_served_in_turn() -> None:
    """Whatever they are called."""
    came = Counter(serve(order_of(ALL), {DEFAULT, *POOLS}, 30))

    assert set(came.values()) == {10}


def test_no_queue_waits_for_ever() -> None:
    """Even when all of them are always full."""
    came = serve(order_of(ALL), ALL, len(ALL) * TURN)

    assert set(came) == ALL
    assert Counter(came).most_common(1)[0][0] == HIGH
