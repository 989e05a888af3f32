"""Rings again for batches and flows that are open and overdue: their doorbell was lost, or their worker was.

Any number of reapers may run: the ledger's script gives each of them to one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from penstock_broker_config import crash
from penstock_broker_config.doorbell import RING_ERRORS, Doorbell
from penstock_broker_config.ledger import Ledger, ReapTerms

logger = logging.getLogger(__name__)


class Reaper:
    """Looks at what is overdue, a step at a time."""

    def __init__(
        self, ledger: Ledger, doorbell: Doorbell, *, terms: ReapTerms, deep_queue: int, queues: Iterable[str]
    ) -> None:
        self._ledger = ledger
        self._doorbell = doorbell
        self._terms = terms
        self._deep_queue = deep_queue
        #: Grows by the pools' queues as batches of theirs are seen.
        self._queues = set(queues)

    def step(self) -> int:
        """Ring for what is overdue now. Returns how many doorbells rang.

        Raises:
            redis.RedisError: the ledger does not answer.
        """
        deep = self._deep()
        crash.reach("scheduler.before_reap")
        overdue = self._ledger.reap(self._terms, deep_queues=deep)
        rung = 0
        for batch in overdue:
            crash.reach("scheduler.after_reap")
            self._queues.add(batch.queue)
            try:
                self._doorbell.ring_again(batch)
            except RING_ERRORS as error:
                # The ledger has put the batch off by its back-off already, and it comes up again.
                logger.warning("The broker took no doorbell: %s", error, extra={"action": "ring_failed"})
                break
            rung += 1
            crash.reach("scheduler.after_ring")
        if rung:
            logger.info(
                "Rang again for %d overdue batches and flows", rung, extra={"action": "reap", "rung": rung}
            )
        return rung

    def _deep(self) -> list[str]:
        try:
            depths = self._doorbell.depths(sorted(self._queues))
        except RING_ERRORS as error:
            logger.warning("The broker does not say how deep its queues are: %s", error)
            return []
        return [name for name, depth in depths.items() if depth > self._deep_queue]
