"""Keeps the lease of the batch that this process runs, and hears of its cancellation.

Two threads for the life of the process. The *keeper* renews a lease that commits have not extended for a
third of its length. The *listener* waits on this process's channel, on which CANCEL names the batches that
it stopped. Both stop the running guest through the guard. Losing the channel costs time, not truth: the
next renewal or commit says the same.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

import redis

from penstock_broker_config.ledger import Commit, Ledger
from penstock_workers.guard import CallGuard

logger = logging.getLogger(__name__)

#: Seconds between two tries to reach Redis after it did not answer.
RETRY_S = 0.5
#: Seconds between two tries to stop a guest that is just about to start.
STOP_RETRY_S = 0.002


@dataclass(slots=True)
class Hold:
    """The lease of one batch, as the process that runs it sees it."""

    batch_id: str
    fence: int
    #: When the lease was last extended, by the monotonic clock, taken before the request was sent.
    extended_at: float = field(default_factory=time.monotonic)
    #: Why the batch must not go on: cancelled or expired (STOPPED), or somebody else has it (LOST).
    ended: Commit | None = None


class LeaseKeeper:
    """The hold of this process, if it has one."""

    def __init__(
        self, ledger: Ledger, client: redis.Redis, guard: CallGuard, *, lease_s: float, process: str
    ) -> None:
        self._ledger = ledger
        self._redis = client
        self._guard = guard
        self._lease_s = lease_s
        self._process = process
        self._hold: Hold | None = None

    def start(self) -> None:
        """Start both threads. Call it in the process that runs the batches, after any fork."""
        threading.Thread(target=self._keep, name="penstock-lease", daemon=True).start()
        threading.Thread(target=self._listen, name="penstock-cancel", daemon=True).start()

    def take(self, hold: Hold) -> None:
        """This process runs that batch now."""
        self._hold = hold

    def drop(self) -> None:
        """This process runs nothing."""
        self._hold = None

    def _end(self, hold: Hold, why: Commit) -> None:
        hold.ended = why
        # The runner looks at `ended` before each call; one that it began just before is there in a moment.
        while not self._guard.cancel(hold.batch_id) and self._hold is hold:
            time.sleep(STOP_RETRY_S)

    def _keep(self) -> None:
        while True:
            time.sleep(self._lease_s / 6)
            hold = self._hold
            if hold is None or hold.ended is not None:
                continue
            if time.monotonic() - hold.extended_at < self._lease_s / 3:
                continue
            asked_at = time.monotonic()
            try:
                answer = self._ledger.renew(hold.batch_id, fence=hold.fence, lease_s=self._lease_s)
            except redis.RedisError as error:
                logger.warning("A lease could not be renewed: %s", error, extra={"batch_id": hold.batch_id})
                continue
            if answer is Commit.OK:
                hold.extended_at = asked_at
            elif self._hold is hold:
                # A batch that was finished meanwhile answers "lost" as well; then nobody holds it here.
                self._end(hold, answer)

    def _listen(self) -> None:
        channel = self._ledger.keys.holder_channel(self._process)
        while True:
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
                    pubsub.subscribe(channel)
                    while True:
                        message = pubsub.get_message(timeout=5.0)
                        hold = self._hold
                        if message and hold and message["data"] == hold.batch_id.encode():
                            self._end(hold, Commit.STOPPED)
            except redis.RedisError as error:
                logger.warning("Not listening for cancellations: %s", error)
                time.sleep(RETRY_S)
