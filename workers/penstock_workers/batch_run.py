"""One claimed batch on its way: its calls in order, their results committed as it goes.

Every failure of a call is a result. What ends a batch early is the loss of its lease, a cancel, a deadline,
or a worker that stops; in each case what is recorded stays, and the rest is claimed again or ended by the
ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from penstock_broker_config import crash
from penstock_broker_config.envelope import read_calls, read_header
from penstock_broker_config.ledger import (
    BatchHeader,
    CallEntry,
    Claim,
    Commit,
    RecordKind,
    job_of,
)
from penstock_plugins.errors import (
    CatalogError,
    CompileError,
    EnvelopeError,
    ErrorCode,
    ToolError,
    ToolTimeoutError,
)
from penstock_plugins.result import ToolFailure
from penstock_workers.bench import Bench, Summary
from penstock_workers.executor import PreparedTool
from penstock_workers.lease import Hold
from penstock_workers.outcome import Outcome
from penstock_workers.patience import patiently
from penstock_workers.together import TogetherCalls

logger = logging.getLogger(__name__)

#: A batch that takes long records what it has after this, or after this many bytes of results.
COMMIT_EVERY_S = 0.25
COMMIT_BYTES = 1 << 20


class BatchRun:
    """One claimed batch on its way.

    Args:
        bench: what it is run with.
        claim: the batch.
        hold: its lease.
        follow_until: monotonic seconds up to which the next batch may be asked for at its end.
    """

    def __init__(self, bench: Bench, claim: Claim, hold: Hold, *, follow_until: float) -> None:
        self._bench = bench
        self._claim = claim
        self._hold = hold
        self._follow_until = follow_until
        #: The next batch of the queue and its claim, which came with the last commit.
        self.following: tuple[str, Claim] | None = None
        self._started_at = time.monotonic()
        self._position = claim.recorded
        self._pending: list[tuple[RecordKind, bytes]] = []
        self._pending_bytes = 0
        self._committed_at = self._started_at
        self._succeeded = self._failed = 0
        self._first_failure: ToolFailure | None = None
        self._busy_s = 0.0
        self._cost_field = ""
        self._refusals: dict[int, ToolFailure | None] = {}

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
            except (CatalogError, CompileError) as error:
                # The plugin is gone, damaged or does not compile: trying again would not help.
                failure = ToolFailure(code=ErrorCode.TOOL_NOT_READY, message=error.message)
                self._fail_all(failure, len(rest))
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
        return self._bench.executor.prepare(
            header.digest, header.tool.partition(".")[2], timeout_s=header.timeout_s
        )

    def _run_calls(self, prepared: PreparedTool, header: BatchHeader, calls: Sequence[CallEntry]) -> None:
        together = TogetherCalls(
            prepared, [call.params for call in calls], may_run=lambda k: self._may_run_ahead(calls[k])
        )
        for position, call in enumerate(calls):
            if self._ended():
                return
            known = together.knows(position)
            if self._bench.stopping() and not known:
                self._give_back()
                return
            left_s = self._time_left_s()
            if left_s is not None and left_s <= 0 and not known:
                # The next claim, or the reaper, ends what is left as expired.
                self._give_back()
                return
            outcome = self._run_call(together, position, call, left_s)
            if self._ended():
                logger.info(
                    "A running call was stopped",
                    extra={
                        "action": "call_stopped",
                        "call_id": f"{header.job}.{call.index}",
                        "why": self._hold.ended,
                    },
                )
                return
            self._record(outcome)
            if self._commit_is_due() and self._commit() is not Commit.OK:
                return
        if self._pending:
            self._commit()

    def _ended(self) -> bool:
        """Whether the keeper's threads have heard that this batch must not go on."""
        return self._hold.ended is not None

    def _may_run_ahead(self, call: CallEntry) -> bool:
        """Whether a call may run with others. Not while we look for the one that kills workers."""
        return not self._claim.careful and self._refusal(call) is None

    def _refusal(self, call: CallEntry) -> ToolFailure | None:
        """Why a call must not run. Looked for once."""
        if call.index not in self._refusals:
            self._refusals[call.index] = None
            try:
                self._bench.signer.check(self._claim.header, call)
            except EnvelopeError as error:
                failure = ToolFailure(code=ErrorCode.PERMISSION_DENIED, message=error.message)
                self._refusals[call.index] = failure
        return self._refusals[call.index]

    def _run_call(
        self, together: TogetherCalls, position: int, call: CallEntry, left_s: float | None
    ) -> Outcome:
        if (refusal := self._refusal(call)) is not None:
            return Outcome(failure=refusal)
        begun_at = time.monotonic()
        outcome = together.invoke(position, token=self._hold.batch_id, timeout_s=left_s)
        self._busy_s += outcome.execution_s
        waited_ms = self._claim.now_ms - self._claim.created_ms + (begun_at - self._started_at) * 1000
        outcome.metadata["queued_ms"] = round(waited_ms, 3)
        return outcome

    def _record(self, outcome: Outcome) -> None:
        metadata = outcome.metadata
        metadata["worker"] = self._bench.worker
        if self._claim.attempts and not self._pending and self._succeeded + self._failed == 0:
            metadata["attempts"] = self._claim.attempts + 1
        kind = RecordKind.SUCCESS if outcome.failure is None else RecordKind.FAILURE
        if outcome.failure is None:
            self._succeeded += 1
        else:
            self._failed += 1
            self._first_failure = self._first_failure or outcome.failure
        record = outcome.to_record()
        self._pending.append((kind, record))
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
        send = self._send_and_follow if self._may_follow() else self._send
        answer = send(measured or None)
        crash.reach("worker.after_commit")
        self._position += len(self._pending)
        self._pending, self._pending_bytes, self._busy_s = [], 0, 0.0
        self._committed_at = time.monotonic()
        if answer is Commit.OK:
            self._hold.extended_at = asked_at
        else:
            self._hold.ended = answer
        if answer is Commit.FINISHED or self.following is not None:
            self._bench.finished.add(self._hold.batch_id)
        return answer

    def _may_follow(self) -> bool:
        """Whether this commit ends the batch, and another may follow.

        A batch of which nothing succeeded ends the chain, so that its message is red in Flower.
        """
        return (
            self._position + len(self._pending) == self._claim.calls_in_batch
            and self._succeeded > 0
            and not self._claim.formed
            and not self._claim.limited
            and time.monotonic() < self._follow_until
            and not self._bench.stopping()
        )

    def _send(self, cost_us: float | None) -> Commit:
        commit = self._bench.ledger.commit
        return patiently(
            lambda: commit(
                self._hold.batch_id,
                self._pending,
                fence=self._hold.fence,
                position=self._position,
                lease_s=self._bench.lease_s,
                cost_field=self._cost_field,
                cost_us=cost_us,
            )
        )

    def _send_and_follow(self, cost_us: float | None) -> Commit:
        ledger, terms = self._bench.ledger, self._bench.next_terms()
        committed = patiently(
            lambda: ledger.commit_and_claim(
                self._hold.batch_id,
                self._pending,
                fence=self._hold.fence,
                position=self._position,
                cost_field=self._cost_field,
                cost_us=cost_us,
                terms=terms,
                queues=self._bench.queues,
            )
        )
        if committed.batch_id is not None and committed.claim is not None:
            self.following = committed.batch_id, committed.claim
        return committed.answer

    def _give_back(self) -> None:
        if self._pending and self._commit() is not Commit.OK:
            return
        crash.reach("worker.before_release")
        patiently(lambda: self._bench.ledger.release(self._hold.batch_id, fence=self._hold.fence))
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
