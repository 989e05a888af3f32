"""Reads a job's results as they end.

The job's completion stream is the truth, and its order is the order of the results; wake-ups only shorten
the wait. A reader can start at any time, in any process: it begins at the beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from penstock_broker_config.ledger import Completion, JobState
from penstock_broker_config.value_references import digest_and_size, is_reference
from penstock_plugins.errors import (
    JobFailedError,
    JobNotFoundError,
    PenstockError,
    ValueLostError,
    WaitTimeoutError,
)
from penstock_plugins.result import ToolResult
from penstock_scheduler.countdown import Countdown
from penstock_scheduler.flow import Flow, ask
from penstock_scheduler.results import UNRUN, read_result, unrun_result
from penstock_scheduler.ticket import Ticket

#: Seconds after which a wait looks again, even when nothing was heard.
LOOK_AGAIN_S = 5.0
#: Entries of the stream that are read at once; each speaks of one or many calls.
_ENTRIES = 50
#: Results that are read at once: at first, at most; and the bytes that one reading should have.
_FIRST_PAGE, _LARGEST_PAGE, _PAGE_BYTES = 64, 1024, 1024 * 1024


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
            return [unrun_result(self._ticket, index, closed) for index in indexes]
        records = yield from ask(lambda wire: wire.ledger.results(self._ticket.job_id, indexes))
        self._resize(sum(_size(record) for record in records if record is not None))
        results = []
        for index, record in zip(indexes, records, strict=True):
            result = None if record is None else (yield from read_result(self._ticket, index, record))
            if result is None:
                self._lost += 1
            else:
                results.append(result)
        return results

    def _resize(self, size_bytes: int) -> None:
        if size_bytes > 2 * _PAGE_BYTES:
            self._page_size = max(1, self._page_size // 2)
        elif size_bytes < _PAGE_BYTES // 2:
            self._page_size = min(_LARGEST_PAGE, self._page_size * 2)

    def _close(self, final: JobState) -> Flow[None]:
        if final is not JobState.SUCCEEDED:
            record = yield from ask(lambda wire: wire.ledger.job(self._ticket.job_id))
            if final.value in UNRUN:
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
