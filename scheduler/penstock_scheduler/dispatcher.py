"""Forms batches of the calls that wait, and rings for them and for flows that may go on.

Any number of dispatchers share the work. What may leave, and whose turn it is, is decided in the ledger's
script; a dispatcher only says when to look. It looks when something leaves by its age, when somebody tells it
(a hint: it may be lost), and each second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

import redis

from penstock_broker_config import crash
from penstock_broker_config.doorbell import RING_ERRORS, Doorbell
from penstock_broker_config.ledger import DispatchTerms, Ledger

logger = logging.getLogger(__name__)

#: Seconds after which a dispatcher looks, even when nothing was heard.
LOOK_AGAIN_S = 1.0
#: Seconds between two tries to reach Redis after it did not answer.
RETRY_S = 0.25


class Dispatcher:
    """Looks at what waits, a step at a time.

    Args:
        ledger: where calls wait.
        doorbell: rung for each batch.
        terms: how batches are formed.
        queues: full names of those that doorbells are most likely for.
    """

    def __init__(
        self, ledger: Ledger, doorbell: Doorbell, terms: DispatchTerms, *, queues: Sequence[str] = ()
    ) -> None:
        self._ledger = ledger
        self._doorbell = doorbell
        self._terms = terms
        self._queues = queues

    def prepare(self) -> None:
        """Reach the broker before the first batch has to wait for that. It may be away."""
        with suppress(*RING_ERRORS):
            self._doorbell.prepare(self._queues)

    def step(self) -> float:
        """Let leave what may leave now. Returns the seconds until the next look.

        Raises:
            redis.RedisError: the ledger does not answer.
        """
        crash.reach("scheduler.before_dispatch")
        found = self._ledger.dispatch(self._terms)
        for batch in found.batches:
            crash.reach("scheduler.after_dispatch")
            try:
                self._doorbell.ring_again(batch)
            except RING_ERRORS as error:
                # They are batches like any others now: the reaper rings what was not heard.
                logger.warning("The broker took no doorbell: %s", error, extra={"action": "ring_failed"})
                break
            crash.reach("scheduler.after_dispatch_ring")
        wait_s = LOOK_AGAIN_S if found.next_s is None else min(found.next_s, LOOK_AGAIN_S)
        return wait_s if not found.batches else min(wait_s, 0.0 if found.next_s is None else found.next_s)


class DispatchLoop:
    """A dispatcher in a thread of its own, which sleeps until there is something to do."""

    def __init__(self, dispatcher: Dispatcher, client: redis.Redis, channel: str) -> None:
        self._dispatcher = dispatcher
        self._redis = client
        self._channel = channel
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-dispatch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def stop(self, wait_s: float = 5.0) -> None:
        """End after the step that runs. What it has formed and not rung is left to the reapers."""
        self._stop.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        self._dispatcher.prepare()
        while not self._stop.is_set():
            try:
                self._listen()
            except redis.ResponseError as error:
                logger.warning("The ledger refuses to dispatch: %s", error, extra={"action": "step_refused"})
                self._stop.wait(LOOK_AGAIN_S)
            except redis.RedisError as error:
                logger.warning("The ledger does not answer: %s", error, extra={"action": "step_failed"})
                self._stop.wait(RETRY_S)

    def _listen(self) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
            pubsub.subscribe(self._channel)
            while not self._stop.is_set():
                wait_s = self._dispatcher.step()
                heard = pubsub.get_message(timeout=wait_s) if wait_s > 0 else None
                # Many may have knocked while this one was busy: one look is enough for all.
                while heard is not None:
                    heard = pubsub.get_message(timeout=0)
