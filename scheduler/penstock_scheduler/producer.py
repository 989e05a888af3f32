"""The door for programs that submit calls and wait for results in threads of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from penstock_broker_config.dead_letters import DeadLetter, LetterFilter
from penstock_broker_config.ledger import JobRecord
from penstock_broker_config.settings import Settings, load_settings
from penstock_plugins.pipelines.hooks import NO_HOOKS, Hooks
from penstock_plugins.result import ToolResult
from penstock_plugins.tool import Tool
from penstock_scheduler.blocking_wire import BlockingWire
from penstock_scheduler.dead_letters import drop_letters, find_letters, read_letter
from penstock_scheduler.encoding import OnInvalid
from penstock_scheduler.feeding import Feeding
from penstock_scheduler.job import AnyJob, Job
from penstock_scheduler.map_plan import check_inputs
from penstock_scheduler.operations import JsonValue, Operations, Work
from penstock_scheduler.options import CallOptions, SubmitOptions
from penstock_scheduler.ticket import Ticket

if TYPE_CHECKING:
    from celery import Celery
    from celery.canvas import Signature


class Producer:
    """Submits calls and reads their results. Threads may share one.

        with Producer.connect() as producer:
            result = producer.submit("text.stats", {"text": "a b"}).result(wait_s=10)
            for result in producer.map("text.slug", ({"text": line} for line in lines)).results():
                print(result.index, result.data)

    Every method raises `UnreachableError` when Redis does not answer for a few seconds. A broker that does
    not answer is no error: the scheduler rings again.
    """

    def __init__(self, settings: Settings, *, hooks: Hooks = NO_HOOKS) -> None:
        self._wire = BlockingWire(settings)
        self._operations = Operations(settings, hooks)
        self._feedings: list[Feeding] = []

    @classmethod
    def connect(cls, url: str | None = None, **settings: Any) -> Producer:
        """A producer on the configured system, or on the one that `penstock up` runs here.

        Args:
            url: the broker's URL (`redis://`, `rediss://`, `unix://`, `amqp://`), before every configuration.
            **settings: any field of `Settings`, such as `redis_url`, `prefix`, `tenant`, `signing_key`,
                `max_in_flight`.

        Raises:
            UnreachableError: nothing is configured and nothing runs here, or Redis does not answer.
            ConfigurationError: a setting that cannot be used.
        """
        return cls(load_settings(broker_url=url, **settings)).__enter__()

    def submit(self, tool: Work, params: JsonValue, **options: Unpack[SubmitOptions]) -> Job[ToolResult]:
        """Submit one call, or one item of a pipeline. When this returns, it is not lost any more.

        Args:
            tool: `plugin.tool`, `plugin@version.tool`, or the tool's own name where only one plugin has it;
                or a `Pipeline`, which is checked, and whose tools are pinned, now.
            params: what the tool's schema asks for, as JSON values; of a pipeline without `parameters` any.
            **options: timeout_s, deadline_s, idempotency_key, queue, tenant, batch_key, eta_s, session,
                request, fuse: see `SubmitOptions`. A pipeline says timeout_s of its steps.

        Raises:
            ToolNotFoundError: there is no such tool.
            InvalidPipelineError: the pipeline cannot run; `problems` has all, each with its step.
            LoopLimitError: composite tools are too deep inside each other, or one inside of itself.
            ParamsError: the params do not fit; `details["errors"]` has every violation with its path.
            ConflictError: the idempotency key was used before with other params.
            OverloadedError: too much is waiting; `details["retry_after_s"]` says when to try again.
            ConfigurationError: an option that cannot be used.
        """
        return self._job(self._wire.run(self._operations.submit(tool, params, options)))

    def map(
        self,
        tool: Work,
        inputs: Iterable[JsonValue],
        *,
        job: str | None = None,
        on_invalid: OnInvalid = "record",
        **options: Unpack[CallOptions],
    ) -> Job[list[ToolResult]]:
        """Submit one call, or one item of a pipeline, for each input.

        Returns at once; the input is read and submitted in the background.

        Two chunks of the input are in this process's memory, and at most `max_in_flight` calls in Redis.
        An iterable that raises ends the job as failed; what it gave before is kept.

        Args:
            tool: as in `submit`.
            inputs: any iterable of params, also an endless or slow one. It is read in another thread.
            job: id of a map whose feeder ended before its input (its process was ended, Redis stayed away):
                the inputs that it has accepted are skipped and the rest is submitted. `inputs` must be the
                same again. Tenant and deadline stay as they were.
            on_invalid: "record": an input that does not fit the tool's schema has a VALIDATION_ERROR as its
                result and the others go on. "stop": it ends the job as failed.
            **options: timeout_s, deadline_s, queue, tenant, batch_key, eta_s, session, request, fuse; see
                `CallOptions`.

        Raises:
            ToolNotFoundError: there is no such tool.
            InvalidPipelineError, LoopLimitError: as in `submit`.
            ConfigurationError: an option that cannot be used, or `inputs` are one mapping or text.
            JobNotFoundError: there is no such `job`.
        """
        check_inputs(inputs)
        if job is None:
            flow = self._operations.start_map(tool, options, on_invalid)
        else:
            flow = self._operations.resume_map(tool, options, on_invalid, job)
        plan = self._wire.run(flow)
        if plan.feeder is None:
            return self._job(plan.ticket)
        feeding = Feeding(self._wire, plan, plan.feeder, inputs)
        self._feedings = [f for f in self._feedings if not f.ended] + [feeding]
        feeding.start()
        return Job(self._wire, self._operations, plan.ticket, feeding)

    def resume(
        self,
        job_id: str,
        *,
        pinned: bool = False,
        latest: bool = False,
        inputs: Sequence[JsonValue] | None = None,
    ) -> AnyJob:
        """Go on with a run of a pipeline that has ended: a new run of its items that failed or never ended.

        Each goes on from its last good step; one whose steps were undone begins anew. The run that ended
        stays as it is. Items are counted from 0 again, in the order of their indexes. Resuming twice gives
        the same job.

        Args:
            job_id: the run.
            pinned: with the bundles that it began with, although tools have changed since.
            latest: with what the tools' names mean now.
            inputs: those of the whole run, to be compared with what it was given. None: they are not.

        Raises:
            ConfigurationError: it is no run of a pipeline, has not ended, or nothing is left to be done.
            ConflictError: what it called has changed, and neither `pinned` nor `latest` was said; or an
                input has.
            CatalogError: a bundle that it began with is not there any more.
        """
        flow = self._operations.resume(job_id, pinned=pinned, latest=latest, inputs=inputs)
        return self._job(self._wire.run(flow))

    def signature(
        self,
        tool: Work,
        params: JsonValue = None,
        *,
        app: Celery | None = None,
        immutable: bool = False,
        **options: Unpack[CallOptions],
    ) -> Signature[Any]:
        """A Celery signature, for canvas of any app on the same broker (docs/celery.md).

        Its `AsyncResult` gives the data, or raises the typed error. Tools are pinned, and what is complete is
        checked, now.

        Args:
            tool: as in `submit`.
            params: of the call, or the pipeline's input. `{{ input… }}` in it stands for what came before in
                the canvas. None: what came before is the params.
            app: that sends it. None: the current one.
            immutable: what came before is not passed on to it, as for any Celery signature.
            **options: timeout_s, deadline_s, queue, tenant, session, request, fuse; see `CallOptions`.

        Raises:
            As `submit`, but for OverloadedError.
        """
        flow = self._operations.signature(tool, params, options, app=app, immutable=immutable)
        return self._wire.run(flow)

    def flush(self, tool: str, batch_key: str, *, tenant: str | None = None) -> int:
        """Let the calls that wait under a batch key leave now; returns how many these are.

        Raises:
            ToolNotFoundError: there is no such tool.
        """
        return self._wire.run(self._operations.flush(tool, batch_key, tenant))

    def job(self, job_id: str) -> AnyJob:
        """Open a job by its id, whoever submitted it.

        Raises:
            JobNotFoundError: there is none, or it has expired.
        """
        return self._job(Ticket.from_record(self._wire.run(self._operations.job(job_id))))

    def jobs(self, limit: int = 100) -> list[JobRecord]:
        """The newest jobs of this system, newest first."""
        return self._wire.run(self._operations.jobs(limit))

    def dead_letters(
        self, wanted: LetterFilter | None = None, *, limit: int | None = 1000
    ) -> list[DeadLetter]:
        """The calls that were set aside because they lost their worker again and again, newest first.

        Args:
            wanted: which of them. None: all.
            limit: at most so many. None: all.
        """
        return self._wire.run(find_letters(wanted or LetterFilter(), limit))

    def dead_letter(self, call_id: str) -> DeadLetter:
        """One dead letter, with its params however large.

        Raises:
            DeadLetterNotFoundError: there is none of that call.
        """
        return self._wire.run(read_letter(call_id))

    def replay(self, call_id: str, *, latest: bool = False, run_again: bool = False) -> Job[ToolResult]:
        """Submit a dead letter once more, as a job of its own; the letter goes when that job is accepted.

        The call has the same tool, params, tenant, queue and timeout. If it loses its workers again, it
        becomes a dead letter of the new job.

        Args:
            call_id: the call, `JOB.INDEX`.
            latest: with the highest release of its plugin. By default with the very bundle it was pinned to.
            run_again: also when its tool is not idempotent.

        Raises:
            DeadLetterNotFoundError: there is none of that call.
            CatalogError: its plugin is not published any more.
            ConfigurationError: its tool is not idempotent, and `run_again` was not said.
            ParamsError: the latest release does not take its params.
            EnvelopeError: the letter is damaged.
        """
        return self._job(self._wire.run(self._operations.replay(call_id, latest=latest, run_again=run_again)))

    def drop_dead_letters(self, call_ids: Iterable[str]) -> int:
        """Forget dead letters; returns how many of these there were."""
        return self._wire.run(drop_letters(call_ids))

    def tools(self) -> list[Tool]:
        """The tools of the catalog, each in its highest release, sorted by name."""
        return self._wire.run(self._operations.tools())

    def close(self, *, wait: bool = True) -> None:
        """Give the connections back.

        Args:
            wait: feed what is being fed to its end first. Else feeding stops, and those jobs can be resumed.
        """
        for feeding in self._feedings:
            if not wait:
                feeding.stop()
        for feeding in self._feedings:
            feeding.join()
        self._feedings = []
        self._wire.close()

    def __enter__(self) -> Producer:
        try:
            self._wire.check()
        except BaseException:
            self.close(wait=False)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(wait=error is None)

    def _job(self, ticket: Ticket) -> AnyJob:
        return Job(self._wire, self._operations, ticket)
