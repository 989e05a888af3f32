"""Reads a job's results as they end, and makes up those of calls that ended without having run.

The job's completion stream is the truth, and its order is the order of the results; wake-ups only shorten
the wait. A reader can start at any time, in any process: it begins at the beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from penstock_broker_config.ledger import Completion, JobRecord, JobState
from penstock_broker_config.value_references import digest_and_size, is_reference
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import (
    JobFailedError,
    JobNotFoundError,
    PenstockError,
    ValueLostError,
    WaitTimeoutError,
)
from penstock_plugins.result import ResultMetadata, ToolFailure, ToolResult, from_record
from penstock_scheduler.countdown import Countdown
from penstock_scheduler.flow import Effect, Flow, ask

#: Seconds after which a wait looks again, even when nothing was heard.
LOOK_AGAIN_S = 5.0
#: Entries of the stream that are read at once; each speaks of one or many calls.
_ENTRIES = 50
#: Results that are read at once: at first, at most; and the bytes that one reading should have.
_FIRST_PAGE, _LARGEST_PAGE, _PAGE_BYTES = 64, 1024, 1024 * 1024

_UNRUN = {
    "cancelled": ToolFailure(
        code=ErrorCode.CANCELLED, message="The job was cancelled before this call had ended"
    ),
    "expired": ToolFailure(
        code=ErrorCode.TIMEOUT, message="The job's deadline passed before this call had ended"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a handle must know of its job; it does not change."""

    job_id: str
    #: Full name, `plugin.tool`.
    tool: str
    #: sha256 of the plugin's bundle, to which all calls of the job are pinned.
    digest: str
    #: One call, whose result is the job's; or many.
    single: bool

    @classmethod
    def from_record(cls, record: JobRecord) -> Ticket:
        """The ticket of a job that was looked up."""
        return cls(job_id=record.id, tool=record.tool, digest=record.digest, single=record.single)


class ResultReader:
    """Yields each result of a job once, in completion order.

    Args:
        ticket: the job.
        watch: called now and then while waiting; raises when waiting is in vain.
    """

    def __init__(self, ticket: Ticket, *, watch: Callable[[], None] | None = None) -> None:
        self._ticket = ticket
        self._watch = watch
        self._cursor = "0"
        #: Stretches of the stream whose results were not handed out yet, and why they closed without one.
        self._pending: deque[tuple[range, str | None]] = deque()
        self._page_size = _FIRST_PAGE
        #: One byte an index: whether the stream has spoken of it.
        self._heard = bytearray()
        #: How the job ended, once the stream said so.
        self._final: JobState | None = None
        #: Whether everything that this job will ever give is handed out or pending.
        self._complete = False
        self._lost = 0
        #: What is raised after the last result.
        self._farewell: PenstockError | None = None

    def page(self, countdown: Countdown) -> Flow[list[ToolResult]]:
        """The next results, at least one; none when all have been handed out.

        Raises:
            WaitTimeoutError: nothing more ended in time.
            JobFailedError: the input ended with an error; raised after the results of what it gave before.
            JobNotFoundError: the job, or some of its results, have expired; raised after those that are left.
        """
        while True:
            if self._pending:
                results = yield from self._collect()
                if results:
                    return results
            elif self._complete:
                self._say_farewell()
                return []
            elif self._final is not None:
                yield from self._close(self._final)
            else:
                yield from self._listen(countdown)

    def _listen(self, countdown: Countdown) -> Flow[None]:
        wait_s = countdown.slice_s(LOOK_AGAIN_S)
        cursor, entries = yield from ask(
            lambda wire: wire.completions(
                self._ticket.job_id, cursor=self._cursor, wait_s=wait_s, count=_ENTRIES
            )
        )
        if entries:
            self._hear(entries)
            self._cursor = cursor
            return
        yield from ask(lambda wire: wire.ledger.job(self._ticket.job_id))  # raises when it has expired
        if self._watch is not None:
            self._watch()
        if countdown.over:
            raise WaitTimeoutError(
                f"Job {self._ticket.job_id} has not ended within {countdown.wait_s:g} s; it goes on"
            )

    def _hear(self, entries: Sequence[Completion]) -> None:
        for entry in entries:
            if entry.indexes:
                self._mark(entry.indexes)
                self._pending.append((entry.indexes, entry.closed))
            elif entry.closed is not None:
                self._final = JobState(entry.closed)

    def _mark(self, indexes: range) -> None:
        if len(self._heard) < indexes.stop:
            self._heard.extend(bytes(max(indexes.stop, 2 * len(self._heard)) - len(self._heard)))
        self._heard[indexes.start : indexes.stop] = b"\1" * len(indexes)

    def _collect(self) -> Flow[list[ToolResult]]:
        closed = self._pending[0][1]
        indexes: list[int] = []
        # Many small stretches in one reading, one large stretch in several.
        while self._pending and self._pending[0][1] == closed and len(indexes) < self._page_size:
            stretch, _ = self._pending.popleft()
            room = self._page_size - len(indexes)
            indexes.extend(stretch[:room])
            if len(stretch) > room:
                self._pending.appendleft((stretch[room:], closed))
        if closed is not None:
            return [self._unrun(index, closed) for index in indexes]
        records = yield from ask(lambda wire: wire.ledger.results(self._ticket.job_id, indexes))
        self._resize(sum(_size(record) for record in records if record is not None))
        results = []
        for index, kept in zip(indexes, records, strict=True):
            record = kept
            if record is not None and is_reference(record):
                record = yield from ask(_value(self._ticket.job_id, record))
            if record is None:
                self._lost += 1
            else:
                results.append(
                    from_record(
                        record,
                        call_id=f"{self._ticket.job_id}.{index}",
                        tool=self._ticket.tool,
                        index=None if self._ticket.single else index,
                        plugin_digest=self._ticket.digest,
                    )
                )
        return results

    def _resize(self, size_bytes: int) -> None:
        if size_bytes > 2 * _PAGE_BYTES:
            self._page_size = max(1, self._page_size // 2)
        elif size_bytes < _PAGE_BYTES // 2:
            self._page_size = min(_LARGEST_PAGE, self._page_size * 2)

    def _close(self, final: JobState) -> Flow[None]:
        if final is not JobState.SUCCEEDED:
            record = yield from ask(lambda wire: wire.ledger.job(self._ticket.job_id))
            if final.value in _UNRUN:
                self._pending.extend((stretch, final.value) for stretch in self._unheard(record.accepted))
            if record.error:
                self._farewell = JobFailedError(
                    f"The input of job {record.id} ended with an error after {record.accepted} calls: "
                    f"{record.error}"
                )
        self._complete = True

    def _say_farewell(self) -> None:
        if self._farewell is not None:
            raise self._farewell
        if self._lost:
            raise JobNotFoundError(
                f"{self._lost} results of job {self._ticket.job_id} have expired (see `result_ttl_s`)"
            )

    def _unheard(self, accepted: int) -> list[range]:
        heard = self._heard.ljust(accepted, b"\0")[:accepted]
        stretches = []
        at = heard.find(0)
        while at >= 0:
            stop = heard.find(1, at)
            stop = accepted if stop < 0 else stop
            stretches.append(range(at, stop))
            at = heard.find(0, stop)
        return stretches

    def _unrun(self, index: int, closed: str) -> ToolResult:
        return ToolResult(
            call_id=f"{self._ticket.job_id}.{index}",
            tool=self._ticket.tool,
            success=False,
            error=_UNRUN.get(closed, _UNRUN["cancelled"]),
            metadata=ResultMetadata(attempts=0, plugin_digest=self._ticket.digest),
            index=None if self._ticket.single else index,
        )


def _value(job_id: str, reference: bytes) -> Effect[bytes | None]:
    return lambda wire: wire.value(job_id, reference)


def _size(record: bytes) -> int:
    with suppress(ValueLostError):
        return digest_and_size(record)[1] if is_reference(record) else len(record)
    return 0


def all_results(reader: ResultReader, ticket: Ticket, countdown: Countdown) -> Flow[list[ToolResult]]:
    """All results of a job, in input order; of a single call as soon as it has ended.

    Raises:
        what `ResultReader.page` raises.
    """
    results: list[ToolResult] = []
    while page := (yield from reader.page(countdown)):
        results.extend(page)
        if ticket.single:
            break
    return sorted(results, key=lambda result: result.index or 0)
