"""One claimed batch on its way: its calls in order, their results committed as it goes.

Every failure of a call is a result. What ends a batch early is the loss of its lease, a cancel, a deadline,
or a worker that stops; in each case what is recorded stays, and the rest is claimed again or ended by the
ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from penstock_broker_config.ledger import BatchHeader, Claim
from penstock_plugins.delivery import RetryRule
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import (
    CatalogError,
    CompileError,
    EnvelopeError,
    ToolError,
    ToolTimeoutError,
    ValueLostError,
)
from penstock_plugins.result import ToolFailure, rounded_ms
from penstock_workers.batch_calls import BatchCall, read_batch
from penstock_workers.bench import Bench, Summary
from penstock_workers.executor import PreparedTool
from penstock_workers.lease import Hold
from penstock_workers.outcome import Outcome
from penstock_workers.patience import patiently
from penstock_workers.recording import Following, Recording
from penstock_workers.retrying import retry_delay_s
from penstock_workers.together import LONGEST_S, TogetherCalls

logger = logging.getLogger(__name__)


class BatchRun:
    """One claimed batch on its way."""

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
        self._started_at = time.monotonic()
        self._recording = Recording(bench, claim, hold, follow_until=follow_until)
        self._once = False
        #: Instead of the tool's own.
        self._retry: RetryRule | None = None
        self._refusals: dict[int, ToolFailure | None] = {}

    @property
    def following(self) -> Following | None:
        """The next batch, which came with the last commit."""
        return self._recording.following

    def to_the_end(self) -> Summary:
        """Run what is not recorded yet."""
        recording, tool = self._recording, ""
        try:
            batch = read_batch(self._hold.batch_id, self._claim)
        except EnvelopeError as error:
            self._refuse_all(ToolFailure(code=ErrorCode.VALIDATION_ERROR, message=error.message))
        else:
            tool, self._once = batch.header.tool, batch.header.once
            if batch.header.retry is not None:
                self._retry = RetryRule(**batch.header.retry)
            recording.cost_field = batch.cost_field
            rest = batch.calls[self._claim.recorded :]
            try:
                prepared = self._prepare(batch.header)
            except ToolError as error:
                self._fail_all(ToolFailure.from_exception(error), len(rest))
            except (CatalogError, CompileError) as error:
                # The plugin is gone, damaged or does not compile: trying again would not help.
                failure = ToolFailure(code=ErrorCode.TOOL_NOT_READY, message=error.message)
                self._fail_all(failure, len(rest))
            else:
                self._run_calls(prepared, rest)
        all_failed = recording.succeeded == 0 and recording.failed > 0
        return Summary(
            tool=tool,
            succeeded=recording.succeeded,
            failed=recording.failed,
            failure=recording.first_failure if all_failed else None,
        )

    def _prepare(self, header: BatchHeader) -> PreparedTool:
        if not self._claim.formed and header.expires_ms < self._claim.now_ms:
            raise ToolTimeoutError("The call expired before it could run")
        return self._bench.executor.prepare(
            header.digest, header.tool.partition(".")[2], timeout_s=header.timeout_s
        )

    def _run_calls(self, prepared: PreparedTool, calls: Sequence[BatchCall]) -> None:
        together = TogetherCalls(
            prepared,
            [self._params(call, k) for k, call in enumerate(calls)],
            may_run=lambda k: self._may_run_ahead(calls[k], k),
        )
        for k, call in enumerate(calls):
            if self._ended():
                return
            known, left_s = together.knows(k), self._time_left_s(call)
            late = left_s is not None and left_s <= 0 and not known
            if self._lease_is_over() or (self._bench.stopping() and not known):
                self._recording.give_back()
                return
            if late and not self._claim.formed:
                # The next claim, or the reaper, ends what is left as expired.
                self._recording.give_back()
                return
            if late or self._is_closed(call, self._recording.at):
                self._recording.pass_over()
            elif not self._run_and_record(prepared, together, k, call, left_s):
                return
            if not self._recording.commit_if_due():
                return
        self._recording.commit()

    def _run_and_record(
        self, prepared: PreparedTool, together: TogetherCalls, k: int, call: BatchCall, left_s: float | None
    ) -> bool:
        """Run a call and record what came of it; False when the batch must not go on."""
        outcome = self._run_call(together, k, call, left_s)
        if self._ended():
            self._say_stopped(call)
            return False
        if self._bench.keeper.stopped_call(self._hold):
            self._say_stopped(call)
            if self._once:
                self._recording.abandon()  # it has begun, and may not begin again: it ends INTERRUPTED
            else:
                self._recording.give_back()
            return False
        if self._is_closed(call, self._recording.at):
            self._say_stopped(call)
            self._recording.pass_over()
            return True
        delay_s = None
        if outcome.failure is not None:
            delay_s = retry_delay_s(
                outcome.failure,
                self._retry or prepared.retry,
                attempts=call.attempts + 1,
                retryable=prepared.retryable or call.keyed,
                left_s=self._time_left_s(call),
            )
        if outcome.failure is not None and delay_s is not None:
            self._recording.try_again(call, outcome, outcome.failure, delay_s=delay_s)
        else:
            self._recording.add(outcome, call)
        return True

    def _ended(self) -> bool:
        """Whether the keeper's threads have heard that this batch must not go on."""
        return self._hold.ended is not None

    def _lease_is_over(self) -> bool:
        return self._bench.keeper.is_over(self._hold)

    def _is_closed(self, call: BatchCall, position: int) -> bool:
        """Whether the job of this call of a formed batch has ended."""
        if not self._claim.formed:
            return False
        return call.job in self._hold.ended_jobs or position in self._claim.closed

    def _may_run_ahead(self, call: BatchCall, k: int) -> bool:
        """Whether a call may run with others: not while we look for the one that kills workers, nor when its
        own time could end before that of the others."""
        left_s = self._time_left_s(call)
        if self._claim.careful or (left_s is not None and left_s < LONGEST_S):
            return False
        return not self._is_closed(call, self._claim.recorded + k) and self._refusal(call, k) is None

    def _refusal(self, call: BatchCall, k: int) -> ToolFailure | None:
        """Why a call must not run. Looked for once."""
        if k not in self._refusals:
            self._refusals[k] = None
            if call.refused is not None:
                self._refusals[k] = ToolFailure(code=ErrorCode.VALIDATION_ERROR, message=call.refused)
            else:
                try:
                    self._bench.signer.check(call.header_json, call.entry)
                except EnvelopeError as error:
                    failure = ToolFailure(code=ErrorCode.PERMISSION_DENIED, message=error.message)
                    self._refusals[k] = failure
        return self._refusals[k]

    def _params(self, call: BatchCall, k: int) -> str | bytes:
        """The params of a call; of large ones, which only their reference came with, from where they are."""
        text = call.entry.params
        if not text.startswith("@") or self._refusal(call, k) is not None:
            return text
        try:
            return patiently(lambda: self._bench.values.get(call.job, text.encode()))
        except (ValueLostError, OSError) as error:
            failure = ToolFailure(code=ErrorCode.EXECUTION_ERROR, message=f"The params are lost: {error}")
            self._refusals[k] = failure
            return text

    def _run_call(self, together: TogetherCalls, k: int, call: BatchCall, left_s: float | None) -> Outcome:
        if (refusal := self._refusal(call, k)) is not None:
            return Outcome(failure=refusal)
        begun_at = time.monotonic()
        if self._claim.formed:
            self._hold.running = (self._recording.at, call.job)
        try:
            outcome = together.invoke(k, token=self._hold.token, timeout_s=left_s)
        finally:
            self._hold.running = None
        waited_ms = self._claim.now_ms - call.accepted_ms + (begun_at - self._started_at) * 1000
        outcome.metadata["queued_ms"] = rounded_ms(max(0.0, waited_ms))
        return outcome

    def _say_stopped(self, call: BatchCall) -> None:
        logger.info(
            "A running call was stopped",
            extra={
                "action": "call_stopped",
                "call_id": f"{call.job}.{call.entry.index}",
                "why": self._hold.ended,
            },
        )

    def _refuse_all(self, failure: ToolFailure) -> None:
        logger.error("A batch was refused: %s", failure.message, extra={"batch_id": self._hold.batch_id})
        self._fail_all(failure, self._claim.calls_in_batch - self._claim.recorded)

    def _fail_all(self, failure: ToolFailure, count: int) -> None:
        for _ in range(count):
            self._recording.add(Outcome(failure=failure))
        self._recording.commit()

    def _time_left_s(self, call: BatchCall) -> float | None:
        deadline_ms = call.expires_ms if self._claim.formed else self._claim.deadline_ms
        if deadline_ms is None:
            return None
        elapsed_ms = (time.monotonic() - self._started_at) * 1000
        return (deadline_ms - self._claim.now_ms - elapsed_ms) / 1000
