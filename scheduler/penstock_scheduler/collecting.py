"""Collects what nothing refers to any more, every ten minutes, by whichever scheduler comes first.

A thread of its own: looking through many jobs must not hold up doorbells. A scheduler that ends in between
leaves nothing half done; the next turn goes on.
"""

from __future__ import annotations

import logging
import threading

import redis

from penstock_broker_config.collector import Collector
from penstock_broker_config.keys import Keys
from penstock_broker_config.values import Values

logger = logging.getLogger(__name__)

#: Seconds between two collections of a system, and between two looks of one scheduler.
EVERY_S = 600
LOOK_S = 60.0


class Collecting:
    """The turns of one scheduler."""

    def __init__(
        self, client: redis.Redis, keys: Keys, *, values: Values | None = None, every_s: int = EVERY_S
    ) -> None:
        """
        Args:
            client: of the store.
            keys: of the system.
            values: where large values are, if they do not go by themselves.
            every_s: seconds between two collections.
        """
        self._redis = client
        self._values = values
        self._keys = keys
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._take_turns, name="penstock-collecting", daemon=True)

    def start(self) -> None:
        """Begin, after a first wait."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more turns. What has begun ends with the process, wherever it is."""
        self._stopped.set()

    def step(self) -> bool:
        """Collect, if nobody did in the last ten minutes; returns whether it was our turn.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        if not self._redis.set(self._keys.catalog_collected, "1", nx=True, ex=self._every_s):
            return False
        Collector(self._redis, self._keys).collect()
        if self._values is not None:
            jobs = self._redis.zscan_iter(self._keys.jobs)
            self._values.collect(job_id.decode(errors="replace") for job_id, _ in jobs)
        return True

    def _take_turns(self) -> None:
        while not self._stopped.wait(LOOK_S):
            try:
                self.step()
            except (redis.RedisError, OSError) as error:
                logger.warning(
                    "What nothing refers to was not collected: %s", error, extra={"action": "collect_failed"}
                )
