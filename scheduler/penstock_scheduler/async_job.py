"""The handle of one job for asyncio programs: `Job`, awaited in one event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from penstock_broker_config.ledger import JobRecord, JobState
from penstock_plugins.result import ToolResult
from penstock_scheduler.async_feeding import AsyncFeeding
from penstock_scheduler.async_wire import AsyncWire
from penstock_scheduler.countdown import Countdown
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


class AsyncJob(Generic[R]):
    """`Job` for asyncio: `await job` is its result. Arguments, values and errors are those of `Job`."""

    def __init__(
        self,
        wire: AsyncWire,
        operations: Operations,
        ticket: Ticket,
        feeding: AsyncFeeding | None = None,
    ) -> None:
        self._wire = wire
        self._operations = operations
        self._ticket = ticket
        self._feeding = feeding

    def __repr__(self) -> str:
        return f"<AsyncJob {self.id} of {self.tool}>"

    def __await__(self) -> Generator[Any, None, R]:
        return self.result().__await__()

    @property
    def id(self) -> str:
        """Opens the job in any process: `await producer.job(id)`."""
        return self._ticket.job_id

    @property
    def tool(self) -> str:
        """Full name of the tool, `plugin.tool`."""
        return self._ticket.tool

    @property
    def single(self) -> bool:
        """Whether this is one call, whose result is the job's."""
        return self._ticket.single

    async def state(self) -> JobState:
        """Where it stands now: queued, running, input_required, succeeded, failed, cancelled or expired."""
        return (await self.record()).state

    async def progress(self) -> Progress:
        """How many calls were accepted and have ended, in constant time."""
        return Progress.from_record(await self.record())

    async def record(self) -> JobRecord:
        """All that the ledger keeps about the job itself."""
        return await self._wire.run(self._operations.job(self.id))

    async def tree(self) -> RunTree:
        """How a run of a pipeline stands, step by step, in constant time. See `Job.tree`."""
        return await self._wire.run(self._operations.runs.tree(self.id))

    async def origin(self) -> Origin | None:
        """Of a run that goes on with another: its id, and the indexes there. Else None. See `Job.origin`."""
        return await self._wire.run(self._operations.runs.origin(self.id))

    async def item(self, index: int) -> ToolResult | None:
        """What one item or call came to, without waiting. None: it has not ended. See `Job.item`."""
        return await self._wire.run(one_result(self._ticket, index))

    async def result(self, wait_s: float | None = None) -> R:
        """The result of a single call, or the list of a map's results in input order. See `Job.result`."""
        countdown = Countdown(wait_s)
        with self._wire.hub.listening(self.id):
            results = await self._wire.run(
                all_results(self._reader(), self._ticket, countdown), patience_s=waiting_patience_s(wait_s)
            )
        return cast("R", results[0] if self.single else results)

    def results(self, wait_s: float | None = None) -> AsyncIterator[ToolResult]:
        """Each result once, as the calls end; `wait_s` counts from now. See `Job.results`."""
        return self._pages(Countdown(wait_s))

    async def submitted(self, wait_s: float | None = None) -> int:
        """Wait until the input of a map has ended; returns how many calls it gave. See `Job.submitted`."""
        if self._feeding is not None:
            return await self._feeding.wait(wait_s)
        return await self._wire.run(self._operations.submitted(self.id, Countdown(wait_s)))

    async def cancel(self) -> bool:
        """Stop the calls that run and those that wait, on every host; False when the job had ended before."""
        cancelled = await self._wire.run(self._operations.cancel(self.id))
        if self._feeding is not None:
            self._feeding.stop(job_ended=True)
        return cancelled

    async def _pages(self, countdown: Countdown) -> AsyncIterator[ToolResult]:
        reader, patience_s = self._reader(), waiting_patience_s(countdown.wait_s)
        with self._wire.hub.listening(self.id):
            while page := await self._wire.run(reader.page(countdown), patience_s=patience_s):
                for result in page:
                    yield result

    def _reader(self) -> ResultReader:
        watch = None if self._feeding is None else self._feeding.check
        return ResultReader(self._ticket, watch=watch)
