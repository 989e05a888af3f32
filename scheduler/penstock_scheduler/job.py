"""The handle of one job: what a submission gives back, and what any process can open by the job's id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from penstock_broker_config.ledger import JobRecord, JobState
from penstock_plugins.result import ToolResult
from penstock_scheduler.blocking_wire import BlockingWire
from penstock_scheduler.countdown import Countdown
from penstock_scheduler.feeding import Feeding
from penstock_scheduler.operations import Operations
from penstock_scheduler.patience import waiting_patience_s
from penstock_scheduler.progress import Progress
from penstock_scheduler.reading import ResultReader, all_results
from penstock_scheduler.results import one_result
from penstock_scheduler.ticket import Ticket

if TYPE_CHECKING:
    from penstock_scheduler.origin import Origin
    from penstock_scheduler.tree import RunTree

#: What `result` gives: a `ToolResult`, or a list of them.
R = TypeVar("R")


class Job(Generic[R]):
    """One call, the calls of one `map`, or a run of a pipeline.

    The handle keeps no results: each question is asked of the ledger.
    Every method raises `JobNotFoundError` when the job has expired and `UnreachableError` when Redis does
    not answer.
    """

    def __init__(
        self, wire: BlockingWire, operations: Operations, ticket: Ticket, feeding: Feeding | None = None
    ) -> None:
        self._wire = wire
        self._operations = operations
        self._ticket = ticket
        self._feeding = feeding

    def __repr__(self) -> str:
        return f"<Job {self.id} of {self.tool}>"

    @property
    def id(self) -> str:
        """Opens the job in any process: `producer.job(id)`."""
        return self._ticket.job_id

    @property
    def tool(self) -> str:
        """Full name of the tool, `plugin.tool`."""
        return self._ticket.tool

    @property
    def single(self) -> bool:
        """Whether this is one call, whose result is the job's."""
        return self._ticket.single

    @property
    def state(self) -> JobState:
        """Where it stands now: queued, running, input_required, succeeded, failed, cancelled or expired."""
        return self.record().state

    def progress(self) -> Progress:
        """How many calls were accepted and have ended, in constant time."""
        return Progress.from_record(self.record())

    def record(self) -> JobRecord:
        """All that the ledger keeps about the job itself: tool, tenant, plugin digest, times, counts."""
        return self._wire.run(self._operations.job(self.id))

    def tree(self) -> RunTree:
        """How a run of a pipeline stands, step by step, in constant time.

        Raises:
            ConfigurationError: it is no run of a pipeline.
        """
        return self._wire.run(self._operations.runs.tree(self.id))

    def origin(self) -> Origin | None:
        """Of a run that goes on with another: that one's id, and the indexes of its items there. Else None.

        This run counts its items from 0: the item `index` of it is `origin.indexes[index]` of `origin.job`.
        """
        return self._wire.run(self._operations.runs.origin(self.id))

    def item(self, index: int) -> ToolResult | None:
        """What one item or call came to, without waiting; `result` and `results` give all. None: not ended.

        Of a run of a pipeline that was cancelled or whose deadline passed, an item that was on its way has
        in `trace` what its finished tasks had done with it, but for the members of a fan-out (None for the
        second or two in which tasks are still being stopped).

        Args:
            index: position in the input; 0 of a single call.

        Raises:
            ConfigurationError: the job has no such item.
            JobNotFoundError: also when the result has expired.
        """
        return self._wire.run(one_result(self._ticket, index))

    def result(self, wait_s: float | None = None) -> R:
        """The result of a single call, or the list of a map's results in input order.

        A tool's failure is a result (`success` is False), not an exception; `ToolResult.unwrap` makes it one.
        Calls of a cancelled job that had not ended are CANCELLED, those of an expired one TIMEOUT.

        Args:
            wait_s: seconds to wait; None waits until the job has ended.

        Raises:
            WaitTimeoutError: it has not ended in time. It goes on.
            JobFailedError: the input of a map ended with an error; `results` gives what there is.
        """
        countdown = Countdown(wait_s)
        results = self._wire.run(
            all_results(self._reader(), self._ticket, countdown), patience_s=waiting_patience_s(wait_s)
        )
        return cast("R", results[0] if self.single else results)

    def results(self, wait_s: float | None = None) -> Iterator[ToolResult]:
        """Each result once, as the calls end; `index` is the call's position in the input.

        Args:
            wait_s: seconds to wait for all of them, from now on.

        Raises:
            WaitTimeoutError: not all calls ended in time; those that did have been given.
            JobFailedError: the input ended with an error; raised after all results.
        """
        return self._pages(Countdown(wait_s))

    def submitted(self, wait_s: float | None = None) -> int:
        """Wait until the input of a map has ended; returns how many calls it gave.

        Raises:
            WaitTimeoutError: it has not ended in time.
            JobFailedError: it ended with an error, which is the cause of this one in the process that feeds.
        """
        if self._feeding is not None:
            return self._feeding.wait(wait_s)
        return self._wire.run(self._operations.submitted(self.id, Countdown(wait_s)))

    def cancel(self) -> bool:
        """Stop the calls that run and those that wait, on every host; False when the job had ended before."""
        cancelled = self._wire.run(self._operations.cancel(self.id))
        if self._feeding is not None:
            self._feeding.stop(job_ended=True)
        return cancelled

    def _pages(self, countdown: Countdown) -> Iterator[ToolResult]:
        reader, patience_s = self._reader(), waiting_patience_s(countdown.wait_s)
        while page := self._wire.run(reader.page(countdown), patience_s=patience_s):
            yield from page

    def _reader(self) -> ResultReader:
        watch = None if self._feeding is None else self._feeding.check
        return ResultReader(self._ticket, watch=watch)


#: A job that was opened by its id: whether its result is one or a list shows when it is there.
AnyJob = Job[Any]
