"""The door for asyncio programs: the same operations as `Producer`, awaited in one event loop."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from penstock_broker_config.dead_letters import DeadLetter, LetterFilter
from penstock_broker_config.ledger import JobRecord
from penstock_broker_config.settings import Settings, load_settings
from penstock_plugins.pipelines.hooks import NO_HOOKS, Hooks
from penstock_plugins.result import ToolResult
from penstock_plugins.tool import Tool
from penstock_scheduler.async_feeding import AsyncFeeding
from penstock_scheduler.async_job import AsyncJob
from penstock_scheduler.async_wire import AsyncWire
from penstock_scheduler.dead_letters import drop_letters, find_letters, read_letter
from penstock_scheduler.encoding import OnInvalid
from penstock_scheduler.map_plan import check_inputs
from penstock_scheduler.operations import JsonValue, Operations, Work
from penstock_scheduler.options import CallOptions, SubmitOptions
from penstock_scheduler.ticket import Ticket

if TYPE_CHECKING:
    from celery import Celery
    from celery.canvas import Signature


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
        check_inputs(inputs)
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
