"""Rings doorbells without ever failing: what is not heard now is rung again by the reaper."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from penstock_broker_config.doorbell import RING_ERRORS
from penstock_broker_config.ledger import FlowStep

logger = logging.getLogger(__name__)

#: Seconds in which a broker that did not answer is left alone: the reaper's first ring comes about then.
QUIET_S = 5.0


class Rings(Protocol):
    """`penstock_broker_config.doorbell.Doorbell`."""

    def ring(self, batch_id: str, *, queue: str, tool: str, calls: int) -> None: ...

    def step(self, flow: str, steps: Sequence[FlowStep], *, items: int) -> None: ...


class Bell:
    """A doorbell that passes over its broker's troubles.

    Args:
        doorbell: raises `RING_ERRORS`.
        clock: monotonic seconds.
    """

    def __init__(self, doorbell: Rings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._doorbell = doorbell
        self._clock = clock
        self._quiet_until_s = -1.0

    def ring(self, batch_id: str, *, queue: str, tool: str, calls: int) -> None:
        """Say that a batch waits; pass over it while the broker does not answer."""
        self._try(lambda: self._doorbell.ring(batch_id, queue=queue, tool=tool, calls=calls), batch_id)

    def step(self, flow: str, steps: Sequence[FlowStep], *, items: int) -> None:
        """Say that a flow is at a stage; pass over it while the broker does not answer."""
        self._try(lambda: self._doorbell.step(flow, steps, items=items), flow)

    def _try(self, ring: Callable[[], None], what: str) -> None:
        if self._clock() < self._quiet_until_s:
            return
        try:
            ring()
        except RING_ERRORS as error:
            self._quiet_until_s = self._clock() + QUIET_S
            logger.warning(
                "The broker did not take a doorbell; the scheduler rings again: %s",
                error,
                extra={"action": "doorbell_failed", "batch_id": what},
            )
