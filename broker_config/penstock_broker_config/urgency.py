"""In which order a worker looks at its queues on Redis: the urgent ones first, and none of them never. Pure.

kombu would serve all of them in turn: a call on the high queue would wait as long as one on the bulk queue.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock_broker_config.queues import BULK, HIGH

#: One of so many messages is of the queue that has waited longest, so that none waits for ever.
TURN = 8

_RANKS = {HIGH: 0, BULK: 2}


class UrgentFirst:
    """What kombu's Redis channel asks for the order of its queues; in the place of its own cycles."""

    def __init__(self) -> None:
        self._queues: list[str] = []
        #: How many messages have come, and which of them was the last of each queue.
        self._served = 0
        self._last: dict[str, int] = {}

    def update(self, queues: Iterable[str]) -> None:
        """These are consumed from now on."""
        self._queues = sorted(queues)

    def consume(self, count: int) -> list[str]:
        """The queues, in the order in which the next message is looked for."""
        in_turn = self._served % TURN == TURN - 1
        return sorted(self._queues, key=self._waited if in_turn else self._rank)[:count]

    def rotate(self, last_used: str) -> str:
        """A message came from that queue."""
        self._served += 1
        self._last[last_used] = self._served
        return last_used

    def _waited(self, name: str) -> int:
        return self._last.get(name, 0)

    def _rank(self, name: str) -> tuple[int, int]:
        """Queues that are as urgent as each other are served in turn."""
        return _RANKS.get(name, 1), self._waited(name)
