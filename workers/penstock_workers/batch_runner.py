"""Runs one batch: claim it, run its calls in order, commit their results as it goes.

Every failure of a call is a result. What ends a batch early is the loss of its lease, a cancel, a deadline,
or a worker that stops; in each case what is recorded stays, and the rest is claimed again or ended by the
ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import redis

from penstock_broker_config import crash
from penstock_broker_config.envelope import Signer, read_calls, read_header
from penstock_broker_config.ledger import (
    BatchHeader,
    CallEntry,
    Claim,
    ClaimState,
    ClaimTerms,
    Commit,
    Ledger,
    job_of,
)
from penstock_plugins.errors import EnvelopeError, ErrorCode, ToolError, ToolTimeoutError
from penstock_plugins.result import ToolFailure
from penstock_workers.executor import Executor, PreparedTool
from penstock_workers.identity import holder_is_gone, next_holder
from penstock_workers.lease import Hold, LeaseKeeper
from penstock_workers.outcome import Outcome

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: A batch that takes long records what it has after this, or after this many bytes of results.
COMMIT_EVERY_S = 0.25
COMMIT_BYTES = 1 << 20
#: How long a finished result waits for a Redis that does not answer before it is given up. The lease has
#: ended by then, and the calls run again elsewhere.
COMMIT_PATIENCE_S = 60.0
RETRY_S = 0.2
#: What a Redis raises that is away, starting, failing over or full: it may answer later.
NO_ANSWER = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.BusyLoadingError,
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of a doorbell, for logs and for Flower."""

    #: Full name of the tool.
    tool: str
    succeeded: int
    failed: int
    #: The failure of a single call, or of the first one when all of a batch failed.
    failure: ToolFailure | None


class BatchRunner:
    """Runs the batches that doorbells name, one at a time."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        executor: Executor,
        keeper: LeaseKeeper,
        signer: Signer,
        lease_s: float,
        max_attempts: int,
        worker: str,
        stopping: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._executor = executor
        self._keeper = keeper
        self._signer = signer
        self._lease_s = lease_s
        self._max_attempts = max_attempts
        self._worker = worker
        self._stopping = stopping

    def run(self, batch_id: str) -> Summary | None:
        """Run a batch as far as it goes. None when there was nothing to do."""
        claim = self._claim(batch_id)
        if claim.state is not ClaimState.GRANTED:
            return None
        crash.reach("worker.after_claim")
        hold = Hold(batch_id, claim.fence)
        self._keeper.take(hold)
        try:
            return _Run(self, claim, hold).to_the_end()
        finally:
            self._keeper.drop()

    def _claim(self, batch_id: str) -> Claim:
        crash.reach("worker.before_claim")
        terms = ClaimTerms(holder=next_holder(), lease_s=self._lease_s, max_attempts=self._max_attempts)
        claim = self._patiently(lambda: self._ledger.claim(batch_id, terms))
        if claim.state is ClaimState.HELD and holder_is_gone(claim.holder):
            terms = ClaimTerms(
                holder=terms.holder,
                lease_s=self._lease_s,
                max_attempts=self._max_attempts,
                takeover=claim.holder,
            )
            claim = self._patiently(lambda: self._ledger.claim(batch_id, terms))
        return claim

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask the ledger until it answers; every script may be sent again.

        Raises:
            redis.RedisError: it did not answer for `COMMIT_PATIENCE_S`.
        """
        give_up_at = time.monotonic() + COMMIT_PATIENCE_S
        while True:
            try:
                return ask()
            except NO_ANSWER as error:
                if time.monotonic() > give_up_at:
                    raise
                logger.warning("The ledger does not answer, trying again: %s", error)
                time.sleep(RETRY_S)


class _Run:
    """One claimed batch on its way."""

    def __init__(self, runner: BatchRunner, claim: Claim, hold: Hold) -> None:
        self._runner = runner
        self._claim = claim
        self._hold = hold
        self._started_at = time.monotonic()
        self._position = claim.recorded
        self._pending: list[tuple[bool, bytes]] = []
        self._pending_bytes = 0
        self._committed_at = self._started_at
        self._succeeded = self._failed = 0
        self._first_failure: ToolFailure | None = None
        self._busy_s = 0.0
        self._cost_field = ""

    def to_the_end(self) -> Summary:
        """Run what is not recorded yet."""
        tool = ""
        try:
            header, calls = self._read()
        except EnvelopeError as error:
            self._refuse_all(ToolFailure(code=ErrorCode.VALIDATION_ERROR, message=error.message))
        else:
            tool = header.tool
            self._cost_field = f"{header.digest}:{header.tool}"
            rest = calls[self._claim.recorded :]
            try:
                prepared = self._prepare(header)
            except ToolError as error:
                self._fail_all(ToolFailure.from_exception(error), len(rest))
            else:
                self._run_calls(prepared, header, rest)
        all_failed = self._succeeded == 0 and self._failed > 0
        return Summary(
            tool=tool,
            succeeded=self._succeeded,
            failed=self._failed,
            failure=self._first_failure if all_failed else None,
        )

    def _read(self) -> tuple[BatchHeader, list[CallEntry]]:
        header = read_header(self._claim.header)
        calls = read_calls(self._claim.calls)
        job_id, base = job_of(self._hold.batch_id), int(self._hold.batch_id.rpartition(".")[2])
        if header.job != job_id or len(calls) != self._claim.calls_in_batch:
            raise EnvelopeError("The batch's envelope belongs to another batch")
        if any(call.index != base + k for k, call in enumerate(calls)):
            raise EnvelopeError("The batch's calls do not count on from its base")
        return header, calls

    def _prepare(self, header: BatchHeader) -> PreparedTool:
        if header.expires_ms < self._claim.now_ms:
            raise ToolTimeoutError("The call expired before it could run")
        return self._runner._executor.prepare(
            header.digest, header.tool.partition(".")[2], timeout_s=header.timeout_s
        )

    def _run_calls(self, prepared: PreparedTool, header: BatchHeader, calls: Sequence[CallEntry]) -> None:
        for call in calls:
            if self._hold.ended is not None:
                return
            if self._runner._stopping():
                self._give_back()
                return
            left_s = self._time_left_s()
            if left_s is not None and left_s <= 0:
                # The next claim, or the reaper, ends what is left as expired.
                self._give_back()
                return
            outcome = self._run_call(prepared, call, left_s)
            if self._hold.ended is not None:
                return
            self._record(outcome)
            if self._commit_is_due() and self._commit() is not Commit.OK:
                return
        if self._pending:
            self._commit()

    def _run_call(self, prepared: PreparedTool, call: CallEntry, left_s: float | None) -> Outcome:
        try:
            self._runner._signer.check(self._claim.header, call)
        except EnvelopeError as error:
            return Outcome(failure=ToolFailure(code=ErrorCode.PERMISSION_DENIED, message=error.message))
        begun_at = time.monotonic()
        outcome = prepared.invoke(call.params, token=self._hold.batch_id, timeout_s=left_s)
        self._busy_s += outcome.execution_s
        waited_ms = self._claim.now_ms - self._claim.created_ms + (begun_at - self._started_at) * 1000
        outcome.metadata["queued_ms"] = round(waited_ms, 3)
        return outcome

    def _record(self, outcome: Outcome) -> None:
        metadata = outcome.metadata
        metadata["worker"] = self._runner._worker
        if self._claim.attempts and not self._pending and self._succeeded + self._failed == 0:
            metadata["attempts"] = self._claim.attempts + 1
        if outcome.failure is None:
            self._succeeded += 1
        else:
            self._failed += 1
            self._first_failure = self._first_failure or outcome.failure
        record = outcome.to_record()
        self._pending.append((outcome.failure is None, record))
        self._pending_bytes += len(record)

    def _commit_is_due(self) -> bool:
        return (
            self._claim.careful
            or time.monotonic() - self._committed_at > COMMIT_EVERY_S
            or self._pending_bytes > COMMIT_BYTES
        )

    def _commit(self) -> Commit:
        crash.reach("worker.before_commit")
        asked_at = time.monotonic()
        measured = self._busy_s / len(self._pending) * 1e6
        answer = self._runner._patiently(
            lambda: self._runner._ledger.commit(
                self._hold.batch_id,
                self._pending,
                fence=self._hold.fence,
                position=self._position,
                lease_s=self._runner._lease_s,
                cost_field=self._cost_field,
                cost_us=measured or None,
            )
        )
        crash.reach("worker.after_commit")
        self._position += len(self._pending)
        self._pending, self._pending_bytes, self._busy_s = [], 0, 0.0
        self._committed_at = time.monotonic()
        if answer is Commit.OK:
            self._hold.extended_at = asked_at
        else:
            self._hold.ended = answer
        return answer

    def _give_back(self) -> None:
        if self._pending and self._commit() is not Commit.OK:
            return
        crash.reach("worker.before_release")
        self._runner._patiently(
            lambda: self._runner._ledger.release(self._hold.batch_id, fence=self._hold.fence)
        )
        self._hold.ended = Commit.LOST

    def _refuse_all(self, failure: ToolFailure) -> None:
        logger.error("A batch was refused: %s", failure.message, extra={"batch_id": self._hold.batch_id})
        self._fail_all(failure, self._claim.calls_in_batch - self._claim.recorded)

    def _fail_all(self, failure: ToolFailure, count: int) -> None:
        for _ in range(count):
            self._record(Outcome(failure=failure))
        if self._pending:
            self._commit()

    def _time_left_s(self) -> float | None:
        if self._claim.deadline_ms is None:
            return None
        elapsed_ms = (time.monotonic() - self._started_at) * 1000
        return (self._claim.deadline_ms - self._claim.now_ms - elapsed_ms) / 1000
