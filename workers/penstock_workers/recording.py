"""What came of a batch's calls on its way into the ledger: in order, several in one commit.

The commit that ends a batch may bring the next one of its queue along.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from penstock_broker_config import crash
from penstock_broker_config.ledger import Claim, Commit, RecordKind
from penstock_broker_config.value_references import INLINE_BYTES
from penstock_plugins.pipelines.hooks import NO_HOOKS, CallNote
from penstock_plugins.result import ToolFailure
from penstock_workers.batch_calls import BatchCall
from penstock_workers.lease import Hold
from penstock_workers.outcome import Outcome
from penstock_workers.patience import patiently
from penstock_workers.retrying import pause_s, retry_entry

if TYPE_CHECKING:
    from penstock_workers.bench import Bench

#: A batch that takes long records what it has after this, or after this many bytes of results.
COMMIT_EVERY_S = 0.25
COMMIT_BYTES = 1 << 20
#: Instructions that stand for a microsecond in turns: about what a metered guest does in one. Tools that are
#: metered take turns with others that are not.
FUEL_PER_US = 3000.0


class Following(NamedTuple):
    """A batch that came with the commit that ended the one before."""

    batch_id: str
    claim: Claim
    #: When it was asked for, by the monotonic clock.
    asked_at: float


class Recording:
    """Collects what came of the calls of one batch, and commits it."""

    def __init__(self, bench: Bench, claim: Claim, hold: Hold, *, follow_until: float) -> None:
        """
        Args:
            bench: what this process runs batches with.
            claim: of the batch.
            hold: its lease.
            follow_until: until when another batch may follow this one, by the monotonic clock.
        """
        self._bench = bench
        self._claim = claim
        self._hold = hold
        self._follow_until = follow_until
        #: The next batch, which came with the last commit.
        self.following: Following | None = None
        self._position = claim.recorded
        self._pending: list[tuple[RecordKind, bytes]] = []
        self._pending_bytes = 0
        self._committed_at = time.monotonic()
        self._busy_s = 0.0
        #: Instructions of the calls that are not committed. None: they are not counted.
        self._fuel: int | None = None
        self._pause_s: float | None = None
        #: Where the measured cost of a call is kept.
        self.cost_field = ""
        self.succeeded = self.failed = 0
        self.first_failure: ToolFailure | None = None

    @property
    def at(self) -> int:
        """Position in the batch of the call that comes next."""
        return self._position + len(self._pending)

    def add(self, outcome: Outcome, call: BatchCall | None = None) -> None:
        """The next call has ended."""
        self._spent(outcome)
        if self._bench.hooks is not NO_HOOKS and call is not None:
            tool = self.cost_field.partition(":")[2]
            self._bench.hooks.after_call(CallNote(job=call.job, tool=tool, failure=outcome.failure))
        metadata = outcome.metadata
        metadata["worker"] = self._bench.worker
        attempts = call.attempts if call is not None else 0
        if self.at == self._claim.recorded:
            attempts += self._claim.attempts
        if attempts:
            metadata["attempts"] = attempts + 1
        kind = RecordKind.SUCCESS if outcome.failure is None else RecordKind.FAILURE
        if outcome.failure is None:
            self.succeeded += 1
        else:
            self.failed += 1
            self.first_failure = self.first_failure or outcome.failure
            self._pause(outcome.failure)
        record = outcome.to_record()
        if len(record) > INLINE_BYTES and call is not None:
            job_id, value = call.job, record
            record = patiently(lambda: self._bench.values.put(job_id, value))
        self._append(kind, record)

    def try_again(self, call: BatchCall, outcome: Outcome, failure: ToolFailure, *, delay_s: float) -> None:
        """The next call has failed, and is run again later; nothing is recorded of it now."""
        self._spent(outcome)
        self._pause(failure)
        self._append(RecordKind.RETRY, retry_entry(call, delay_s))

    def pass_over(self) -> None:
        """The next call is not run: its job, or its time, is over."""
        self._append(RecordKind.NOTHING, b"")

    def commit_if_due(self) -> bool:
        """Commit when it is time to; False when the batch must not go on."""
        due = (
            self._claim.careful
            or time.monotonic() - self._committed_at > COMMIT_EVERY_S
            or self._pending_bytes > COMMIT_BYTES
        )
        return not due or self.commit()

    def commit(self) -> bool:
        """Commit what is there; False when the batch is over, or must not go on."""
        if not self._pending:
            return self._hold.ended is None
        crash.reach("worker.before_commit")
        asked_at = time.monotonic()
        send = self._send_and_follow if self._may_follow() else self._send
        answer = send(self._busy_s / len(self._pending) * 1e6 or None, self._turn_us())
        crash.reach("worker.after_commit")
        self._position += len(self._pending)
        self._pending, self._pending_bytes, self._pause_s = [], 0, None
        self._busy_s, self._fuel = 0.0, None
        self._committed_at = time.monotonic()
        if answer is Commit.OK:
            self._bench.keeper.extended(self._hold, asked_at)
        else:
            self._hold.ended = answer
        if answer is Commit.FINISHED or self.following is not None:
            self._bench.finished.add(self._hold.batch_id)
        return answer is Commit.OK

    def give_back(self) -> None:
        """Record what there is, and leave the rest to others."""
        if self._pending and not self.commit():
            return
        crash.reach("worker.before_release")
        patiently(lambda: self._bench.ledger.release(self._hold.batch_id, fence=self._hold.fence))
        crash.reach("worker.after_release")
        self.abandon()

    def abandon(self) -> None:
        """Record no more, and leave the lease as it is: who claims the batch after it finds a lost holder."""
        self._hold.ended = Commit.LOST

    def _may_follow(self) -> bool:
        """Whether this commit ends the batch, and another may follow.

        A batch of which nothing succeeded ends the chain, so that its message is red in Flower.
        """
        return (
            self.at == self._claim.calls_in_batch
            and self.succeeded > 0
            and time.monotonic() < self._follow_until
            and not self._bench.stopping()
        )

    def _send(self, cost_us: float | None, turn_us: float | None) -> Commit:
        commit = self._bench.ledger.commit
        return patiently(
            lambda: commit(
                self._hold.batch_id,
                self._pending,
                fence=self._hold.fence,
                position=self._position,
                lease_s=self._bench.lease_s,
                cost_field=self.cost_field,
                cost_us=cost_us,
                turn_us=turn_us,
                pause_s=self._pause_s,
            )
        )

    def _send_and_follow(self, cost_us: float | None, turn_us: float | None) -> Commit:
        ledger, terms = self._bench.ledger, self._bench.next_terms()
        asked_at = time.monotonic()
        committed = patiently(
            lambda: ledger.commit_and_claim(
                self._hold.batch_id,
                self._pending,
                fence=self._hold.fence,
                position=self._position,
                cost_field=self.cost_field,
                cost_us=cost_us,
                turn_us=turn_us,
                pause_s=self._pause_s,
                terms=terms,
                queues=self._bench.queues,
            )
        )
        if committed.batch_id is not None and committed.claim is not None:
            self.following = Following(committed.batch_id, committed.claim, asked_at)
        return committed.answer

    def _spent(self, outcome: Outcome) -> None:
        self._busy_s += outcome.execution_s
        if (fuel := outcome.metadata.get("fuel")) is not None:
            self._fuel = (self._fuel or 0) + fuel

    def _turn_us(self) -> float | None:
        """What a call is charged for in turns, where its instructions are counted: the same on any host."""
        return None if self._fuel is None else self._fuel / len(self._pending) / FUEL_PER_US

    def _pause(self, failure: ToolFailure) -> None:
        wanted_s = pause_s(failure)
        if wanted_s is not None:
            self._pause_s = max(wanted_s, self._pause_s or 0.0)

    def _append(self, kind: RecordKind, record: bytes) -> None:
        self._pending.append((kind, record))
        self._pending_bytes += len(record)
