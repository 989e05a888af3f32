"""Keeps the lease of the batch that this process runs, and hears of its cancellation.

Two threads for the life of the process. The *keeper* renews a lease that commits have not extended for a
third of its length. The *listener* waits on this process's channel, on which CANCEL names the batches that
it stopped. Both stop the running guest through the guard. Losing the channel costs time, not truth: the
next renewal or commit says the same.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, field

import redis

from penstock_broker_config import crash
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
    #: When the lease was last extended, by the monotonic clock, taken before the request was sent: a process
    #: that stood still before it read the answer must not take the lease for a fresh one.
    extended_at: float
    #: The batch holds slots of limits: nothing of it may run when the lease is over.
    limited: bool = False
    #: Why the batch must not go on: cancelled or expired (STOPPED), or somebody else has it (LOST).
    ended: Commit | None = None
    #: Position and job of the call that runs. None: none does.
    running: tuple[int, str] | None = None
    #: Jobs that have ended, of a batch that was formed of calls of many.
    ended_jobs: set[str] = field(default_factory=set)
    #: The lease of the flow that this batch runs for: it is kept as long as this one.
    within: Hold | None = None

    @property
    def token(self) -> str:
        """What the guard knows the running call by."""
        return self.batch_id if self.running is None else f"{self.batch_id}:{self.running[0]}"


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
        #: Held while the present hold or its lease changes: an answer that comes late is about another one.
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start both threads. Call it in the process that runs the batches, after any fork."""
        threading.Thread(target=self._keep, name="penstock-lease", daemon=True).start()
        threading.Thread(target=self._listen, name="penstock-cancel", daemon=True).start()

    def take(self, hold: Hold) -> None:
        """This process runs that batch now."""
        with self._lock:
            self._hold = hold
            if hold.limited:
                self._guard.hold_until(hold.extended_at + self._lease_s)

    def drop(self) -> None:
        """This process runs nothing."""
        with self._lock:
            self._hold = None
            self._guard.hold_until(math.inf)

    def extended(self, hold: Hold, asked_at: float) -> None:
        """The lease goes on, counted from when that was asked for. Later answers may come earlier."""
        with self._lock:
            if hold is not self._hold or asked_at < hold.extended_at:
                return
            hold.extended_at = asked_at
            if hold.limited:
                self._guard.hold_until(asked_at + self._lease_s)

    def is_over(self, hold: Hold) -> bool:
        """Whether a limited batch's lease is over, so that its slots may be another's."""
        return hold.limited and time.monotonic() >= hold.extended_at + self._lease_s

    def stopped_call(self, hold: Hold) -> bool:
        """Whether the call that ended last was stopped because its lease was over, however it stands now."""
        return hold.limited and self._guard.outlived

    def _end(self, hold: Hold, why: Commit) -> None:
        hold.ended = why
        # The runner looks at `ended` before each call; one that it began just before is there in a moment.
        while not self._guard.cancel(hold.token) and self._hold is hold:
            time.sleep(STOP_RETRY_S)

    def _end_job(self, hold: Hold, job: str) -> None:
        hold.ended_jobs.add(job)
        running = hold.running
        if running is None or running[1] != job:
            return
        while hold.running == running and not self._guard.cancel(f"{hold.batch_id}:{running[0]}"):
            time.sleep(STOP_RETRY_S)

    def _keep(self) -> None:
        while True:
            time.sleep(self._lease_s / 6)
            hold = self._hold
            if hold is None:
                continue
            if hold.within is not None:
                self._keep_outer(hold.within)
            if hold.ended is not None or self._is_fresh(hold):
                continue
            asked_at, running = time.monotonic(), hold.running
            crash.reach("worker.before_renew")
            try:
                answer = self._ledger.renew(
                    hold.batch_id,
                    fence=hold.fence,
                    lease_s=self._lease_s,
                    position=running[0] if running else None,
                )
            except redis.RedisError as error:
                logger.warning("A lease could not be renewed: %s", error, extra={"batch_id": hold.batch_id})
                continue
            crash.reach("worker.after_renew")
            if answer in (Commit.OK, Commit.SKIP):
                self.extended(hold, asked_at)
                if answer is Commit.SKIP and running is not None:
                    self._end_job(hold, running[1])
            elif self._hold is hold:
                # A batch that was finished meanwhile answers "lost" as well; then nobody holds it here.
                self._end(hold, answer)

    def _keep_outer(self, flow: Hold) -> None:
        """Keep the lease of a flow while a batch runs for it.

        Should it be lost, the batch goes on all the same: what it records counts, whoever takes the flow on.
        """
        if flow.ended is not None or self._is_fresh(flow):
            return
        asked_at = time.monotonic()
        crash.reach("worker.before_renew_flow")
        try:
            answer = self._ledger.renew(flow.batch_id, fence=flow.fence, lease_s=self._lease_s)
        except redis.RedisError as error:
            logger.warning("A lease could not be renewed: %s", error, extra={"flow": flow.batch_id})
            return
        crash.reach("worker.after_renew_flow")
        if answer is Commit.OK:
            flow.extended_at = asked_at
        else:
            flow.ended = answer

    def _is_fresh(self, hold: Hold) -> bool:
        return time.monotonic() - hold.extended_at < self._lease_s / 3

    def _listen(self) -> None:
        channel = self._ledger.keys.holder_channel(self._process)
        while True:
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
                    pubsub.subscribe(channel)
                    while True:
                        message = pubsub.get_message(timeout=5.0)
                        hold = self._hold
                        if message and hold:
                            self._hear(hold, message["data"].decode(errors="replace"))
            except redis.RedisError as error:
                logger.warning("Not listening for cancellations: %s", error)
                time.sleep(RETRY_S)

    def _hear(self, hold: Hold, said: str) -> None:
        """A batch was stopped, or one job's calls in it: `BATCH`, or `BATCH JOB`."""
        batch_id, _, job = said.partition(" ")
        if batch_id != hold.batch_id:
            return
        if job:
            self._end_job(hold, job)
        else:
            self._end(hold, Commit.STOPPED)
