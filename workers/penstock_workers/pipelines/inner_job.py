"""Calls of a stage as a job of their own, which is run right here as far as that is possible.

An inner job is an ordinary job: its batch is claimed and committed, its calls are tried again, wait for
limits and are set aside as ever. Submitting it again changes nothing; whoever comes back to the stage reads
what is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock_broker_config import crash
from penstock_broker_config.ledger import BatchHeader, BufferedCall, CallEntry, InnerOf, JobState, Submitted
from penstock_broker_config.value_references import INLINE_BYTES, is_reference
from penstock_broker_config.waiting import WaitingRoom
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import JobNotFoundError
from penstock_plugins.result import ToolFailure, to_record
from penstock_workers.batch_runner import BatchRunner
from penstock_workers.bench import Bench
from penstock_workers.lease import Hold
from penstock_workers.patience import patiently
from penstock_workers.pipelines.given_up import FlowLostError


class InnerJobs:
    """Submits the inner jobs of flows, runs them and reads what came of them."""

    def __init__(self, bench: Bench, runner: BatchRunner) -> None:
        self._bench = bench
        self._runner = runner

    def results(
        self, of: InnerOf, header: BatchHeader, room: WaitingRoom, params: Sequence[bytes], hold: Hold
    ) -> list[bytes] | None:
        """The result record of each call. None: not all of them have ended.

        Args:
            of: the flow and the stage that they are for.
            header: of the inner job.
            room: where its calls wait, if they do.
            params: of each call, as JSON.
            hold: the lease of the flow.

        Raises:
            FlowLostError: somebody else has the flow, or its run has ended.
        """
        job, count = header.job, len(params)
        if self._submit(of, header, room, params):
            crash.reach("worker.after_inner_submit")
            self._runner.run_within(f"{job}.0", hold)
        else:
            crash.reach("worker.after_inner_submit")
        crash.reach("worker.after_inner_run")
        found = self._read(job, count)
        if None not in found:
            return [record for record in found if record is not None]
        ended = self._ending(job)
        if ended is None:
            return None
        # Between the two looks the last of them may have been recorded.
        return [record or ended for record in self._read(job, count)]

    def _submit(self, of: InnerOf, header: BatchHeader, room: WaitingRoom, params: Sequence[bytes]) -> bool:
        """Have the calls accepted; whether there is a batch of them to be run here."""
        crash.reach("worker.before_inner_submit")
        if not room.needed:
            submitted = self._send(of, header, params)
            if not submitted.limited:
                return not submitted.state.final
        placed = room.place(params, header, refuse=False)
        entries = self._entries(header, placed.texts)
        calls = [BufferedCall(entry, number) for entry, number in zip(entries, placed.numbers, strict=True)]
        enqueue = self._bench.ledger.enqueue
        submitted = patiently(
            lambda: enqueue(header, calls, placed.buffers, base=0, total=len(calls), inner_of=of)
        )
        _refuse_lost(submitted)
        return False

    def _send(self, of: InnerOf, header: BatchHeader, params: Sequence[bytes]) -> Submitted:
        entries, submit = self._entries(header, params), self._bench.ledger.submit
        # It is run at once: nobody else needs to look at it before its lease would have ended.
        submitted = patiently(
            lambda: submit(
                header, entries, base=0, total=len(entries), inner_of=of, ring_after_s=self._bench.lease_s
            )
        )
        _refuse_lost(submitted)
        return submitted

    def _entries(self, header: BatchHeader, params: Sequence[bytes]) -> list[CallEntry]:
        sent = [self._put_aside(header.job, text).decode() for text in params]
        return self._bench.signer.entries(header.to_json(), 0, sent)

    def _put_aside(self, job: str, text: bytes) -> bytes:
        if len(text) <= INLINE_BYTES:
            return text
        return patiently(lambda: self._bench.values.put(job, text))

    def _read(self, job: str, count: int) -> list[bytes | None]:
        found = patiently(lambda: self._bench.ledger.results(job, range(count)))
        return [self._whole(job, record) for record in found]

    def _whole(self, job: str, record: bytes | None) -> bytes | None:
        if record is None or not is_reference(record):
            return record
        return patiently(lambda: self._bench.values.get(job, record))

    def _ending(self, job: str) -> bytes | None:
        """What a call has come to that ended without a record. None: the job goes on."""
        try:
            state = patiently(lambda: self._bench.ledger.job(job)).state
        except JobNotFoundError:
            raise FlowLostError from None
        if not state.final:
            return None
        failure = ToolFailure(code=ErrorCode.TIMEOUT, message="The deadline passed before the call could run")
        if state is JobState.CANCELLED:
            failure = ToolFailure(code=ErrorCode.CANCELLED, message="The call was cancelled")
        return to_record(content=None, error=failure, metadata={})


def _refuse_lost(submitted: Submitted) -> None:
    if submitted.lost:
        raise FlowLostError
