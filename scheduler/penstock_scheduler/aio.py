"""The door for asyncio programs: the same operations as `Producer`, awaited in one event loop."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, cast

from penstock_broker_config.dead_letters import DeadLetter, LetterFilter
from penstock_broker_config.ledger import JobRecord, JobState
from penstock_broker_config.settings import Settings, load_settings
from penstock_plugins.pipelines.hooks import NO_HOOKS, Hooks
from penstock_plugins.result import ToolResult
from penstock_plugins.tool import Tool
from penstock_scheduler.async_feeding import AsyncFeeding
from penstock_scheduler.async_wire import AsyncWire
from penstock_scheduler.countdown import Countdown
from penstock_scheduler.dead_letters import drop_letters, find_letters, read_letter
from penstock_scheduler.encoding import OnInvalid
from penstock_scheduler.operations import JsonValue, Operations, Work
from penstock_scheduler.options import CallOptions, SubmitOptions
from penstock_scheduler.patience import waiting_patience_s
from penstock_scheduler.progress import Progress
from penstock_scheduler.reading import ResultReader, Ticket, all_results

if TYPE_CHECKING:
    from celery import Celery
    from celery.canvas import Signature

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


class AsyncProducer:
    """`Producer` for asyncio. It belongs to the event loop in which it is first used.

        async with AsyncProducer.connect() as producer:
            job = await producer.submit("text.stats", {"text": "a b"})
            print((await job).data)

    Arguments, values and errors are those of `Producer`. No job takes a thread: waits share one pub/sub
    connection, and one thread for the whole producer talks to what only blocks.
    """

    def __init__(self, settings: Settings, *, hooks: Hooks = NO_HOOKS) -> None:
        self._wire = AsyncWire(settings)
        self._operations = Operations(settings, hooks)
        self._feedings: list[AsyncFeeding] = []

    @classmethod
    def connect(cls, url: str | None = None, **settings: Any) -> AsyncProducer:
        """A producer on the configured system; see `Producer.connect`. Connects when it is used.

        Raises:
            UnreachableError: nothing is configured and nothing runs here.
            ConfigurationError: a setting that cannot be used.
        """
        return cls(load_settings(broker_url=url, **settings))

    async def submit(
        self, tool: Work, params: JsonValue, **options: Unpack[SubmitOptions]
    ) -> AsyncJob[ToolResult]:
        """Submit one call, or one item of a pipeline. See `Producer.submit`."""
        return self._job(await self._wire.run(self._operations.submit(tool, params, options)))

    async def map(
        self,
        tool: Work,
        inputs: Iterable[JsonValue] | AsyncIterable[JsonValue],
        *,
        job: str | None = None,
        on_invalid: OnInvalid = "record",
        **options: Unpack[CallOptions],
    ) -> AsyncJob[list[ToolResult]]:
        """Submit one call for each input, in the background. See `Producer.map`.

        `inputs` may be asynchronous. A plain iterable is read in the event loop, so it should not block.
        """
        if job is None:
            flow = self._operations.start_map(tool, options, on_invalid)
        else:
            flow = self._operations.resume_map(tool, options, on_invalid, job)
        plan = await self._wire.run(flow)
        if plan.feeder is None:
            return self._job(plan.ticket)
        feeding = AsyncFeeding(self._wire, plan, plan.feeder, inputs)
        self._feedings = [f for f in self._feedings if not f.ended] + [feeding]
        feeding.start()
        return AsyncJob(self._wire, self._operations, plan.ticket, feeding)

    async def signature(
        self,
        tool: Work,
        params: JsonValue = None,
        *,
        app: Celery | None = None,
        immutable: bool = False,
        **options: Unpack[CallOptions],
    ) -> Signature[Any]:
        """A Celery signature for the canvas of any app. See `Producer.signature`."""
        flow = self._operations.signature(tool, params, options, app=app, immutable=immutable)
        return await self._wire.run(flow)

    async def resume(
        self,
        job_id: str,
        *,
        pinned: bool = False,
        latest: bool = False,
        inputs: Sequence[JsonValue] | None = None,
    ) -> AsyncJob[Any]:
        """Go on with a run of a pipeline that has ended. See `Producer.resume`."""
        flow = self._operations.resume(job_id, pinned=pinned, latest=latest, inputs=inputs)
        return self._job(await self._wire.run(flow))

    async def flush(self, tool: str, batch_key: str, *, tenant: str | None = None) -> int:
        """See `Producer.flush`."""
        return await self._wire.run(self._operations.flush(tool, batch_key, tenant))

    async def job(self, job_id: str) -> AsyncJob[Any]:
        """Open a job by its id, whoever submitted it. See `Producer.job`."""
        return self._job(Ticket.from_record(await self._wire.run(self._operations.job(job_id))))

    async def jobs(self, limit: int = 100) -> list[JobRecord]:
        """The newest jobs of this system, newest first."""
        return await self._wire.run(self._operations.jobs(limit))

    async def dead_letters(
        self, wanted: LetterFilter | None = None, *, limit: int | None = 1000
    ) -> list[DeadLetter]:
        """The calls that were set aside, newest first. See `Producer.dead_letters`."""
        return await self._wire.run(find_letters(wanted or LetterFilter(), limit))

    async def dead_letter(self, call_id: str) -> DeadLetter:
        """One dead letter. See `Producer.dead_letter`."""
        return await self._wire.run(read_letter(call_id))

    async def replay(
        self, call_id: str, *, latest: bool = False, run_again: bool = False
    ) -> AsyncJob[ToolResult]:
        """Submit a dead letter once more. See `Producer.replay`."""
        flow = self._operations.replay(call_id, latest=latest, run_again=run_again)
        return self._job(await self._wire.run(flow))

    async def drop_dead_letters(self, call_ids: Iterable[str]) -> int:
        """Forget dead letters. See `Producer.drop_dead_letters`."""
        return await self._wire.run(drop_letters(call_ids))

    async def tools(self) -> list[Tool]:
        """The tools of the catalog, each in its highest release, sorted by name."""
        return await self._wire.run(self._operations.tools())

    async def close(self, *, wait: bool = True) -> None:
        """Give the connections back; see `Producer.close`."""
        for feeding in self._feedings:
            if not wait:
                feeding.stop()
        for feeding in self._feedings:
            await feeding.join()
        self._feedings = []
        await self._wire.close()

    async def __aenter__(self) -> AsyncProducer:
        try:
            await self._wire.check()
        except BaseException:
            await self.close(wait=False)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(wait=error is None)

    def _job(self, ticket: Ticket) -> AsyncJob[Any]:
        return AsyncJob(self._wire, self._operations, ticket)
