"""In which order a worker looks at its queues on Redis: the urgent ones first, and none of them never. Pure.

kombu would serve all of them in turn: a call on the high queue would wait as long as one on the bulk queue.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock_broker_config.queues import BULK, HIGH

#: Of so many messages one comes from the other end: what is not urgent waits for long, and not for ever.
TURN = 8

_RANKS = {HIGH: 0, BULK: 2}


class UrgentFirst:
    """What kombu's Redis channel asks for the order of its queues; in the place of its own cycles."""

    def __init__(self) -> None:
        self._queues: list[str] = []
        self._served = 0

    def update(self, queues: Iterable[str]) -> None:
        """These are consumed from now on."""
        self._queues = sorted(queues, key=lambda name: (_RANKS.get(name, 1), name))

    def consume(self, count: int) -> list[str]:
        """The queues, in the order in which the next message is looked for."""
        upside_down = self._served % TURN == TURN - 1
        return (self._queues[::-1] if upside_down else self._queues)[:count]

    def rotate(self, last_used: str) -> str:
        """A message came from that queue."""
        self._served += 1
        return last_used
