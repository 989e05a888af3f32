"""What a producer does, as flows: the same for threads and for the event loop. No waiting happens here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from penstock_broker_config import crash
from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import BatchHeader, Completion, JobRecord
from penstock_broker_config.settings import Settings
from penstock_plugins.errors import ConfigurationError, WaitTimeoutError
from penstock_plugins.pipelines.hooks import NO_HOOKS, Hooks, SubmissionNote, careful
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.tool import Tool
from penstock_scheduler import dead_letters
from penstock_scheduler.countdown import Countdown
from penstock_scheduler.encoding import OnInvalid, encode, row_encoder
from penstock_scheduler.feeder import LOOK_AGAIN_S, Feeder
from penstock_scheduler.flow import Effect, Flow, ask
from penstock_scheduler.jobids import new_job_id
from penstock_scheduler.map_plan import MapPlan
from penstock_scheduler.options import CallOptions, SubmitOptions, check_options
from penstock_scheduler.run_target import Target
from penstock_scheduler.sending import CallSender, send
from penstock_scheduler.submission import Submission, compose, params_digest
from penstock_scheduler.ticket import Ticket
from penstock_scheduler.toolbox import Toolbox, ToolUse

if TYPE_CHECKING:
    from celery import Celery
    from celery.canvas import Signature

    from penstock_scheduler.runs import Runs

#: What is submitted: a tool, composite or not, by its name; or a pipeline.
Work = str | Pipeline
#: An input of a pipeline.
JsonValue = Mapping[str, Any] | Sequence[Any] | str | int | float | bool | None


class Operations:
    """The steps of every operation, with what they share: settings, signer, toolbox."""

    def __init__(self, settings: Settings, hooks: Hooks = NO_HOOKS) -> None:
        self._settings = settings
        self._hooks = careful(hooks)
        self._signer = Signer(settings.signing_secret())
        self._toolbox = Toolbox()

    @cached_property
    def runs(self) -> Runs:
        """What is done with pipelines."""
        # Imported here: programs that only call tools need nothing that evaluates pipelines.
        from penstock_scheduler.runs import Runs

        return Runs(self._settings, self._signer, self._toolbox, self._hooks)

    def submit(self, work: Work, params: Any, options: SubmitOptions) -> Flow[Ticket]:
        """Submit one call, or one item of a pipeline."""
        check_options(options, SubmitOptions)
        if isinstance(work, Pipeline):
            return (yield from self.runs.submit(Target.of(work, options), params, options))
        use = yield from self._toolbox.find(work)
        if use.pipeline is not None:
            return (yield from self.runs.submit(Target.named(use, options), params, options))
        keyed = options.get("idempotency_key") is not None
        return (yield from self._submit_to(use, encode(use, params), options, keyed=keyed))

    def replay(self, call_id: str, *, latest: bool, run_again: bool) -> Flow[Ticket]:
        """Submit a dead letter as a job of its own, and drop the letter."""
        letter = yield from dead_letters.get_letter(call_id)
        header = dead_letters.check_letter(letter, self._signer)
        letter = yield from dead_letters.with_whole_params(letter)
        use = yield from dead_letters.use_of(
            self._toolbox, letter, header, latest=latest, run_again=run_again
        )
        options = dead_letters.replay_options(letter, header)
        params = dead_letters.params_of(letter)
        # To the same bundle goes the same text, unchecked: the check may be what ended its workers.
        text = letter.params.encode() if use.digest == header.digest else encode(use, params)
        # The key of a replay is ours: it promises nothing of the tool.
        ticket = yield from self._submit_to(use, text, options, keyed=header.keyed)
        crash.reach("producer.after_replay")
        yield from dead_letters.drop_letters([call_id])
        return ticket

    def _submit_to(self, use: ToolUse, text: bytes, options: SubmitOptions, *, keyed: bool) -> Flow[Ticket]:
        key = options.get("idempotency_key")
        submission = yield from self._compose(use, options, new_job_id(), keyed=keyed)
        self._announce(submission.header)
        submitted = yield from send(
            submission,
            [text],
            base=0,
            single=True,
            idempotency=None if key is None else (key, params_digest(text)),
            ring_after_s=self._settings.ring_after_s,
        )
        self._toolbox.notice(submitted.catalog_version)
        if submitted.job_id != submission.header.job:  # the key was used before, perhaps with another release
            return Ticket.from_record((yield from self.job(submitted.job_id)))
        return Ticket(job_id=submitted.job_id, tool=use.full_name, digest=use.digest, single=True)

    def start_map(self, work: Work, options: CallOptions, on_invalid: OnInvalid) -> Flow[MapPlan]:
        """Create the job of a map, without calls yet."""
        _check_map(options, on_invalid)
        if isinstance(work, Pipeline):
            return (yield from self.runs.start_map(Target.of(work, options), options, on_invalid))
        use = yield from self._toolbox.find(work)
        if use.pipeline is not None:
            return (yield from self.runs.start_map(Target.named(use, options), options, on_invalid))
        submission = yield from self._compose(use, options, new_job_id())
        header = submission.header
        self._announce(header)
        crash.reach("producer.before_open")
        yield from ask(
            lambda wire: wire.ledger.open_job(
                header.job,
                tool=header.tool,
                digest=header.digest,
                tenant=header.tenant,
                queue=header.queue,
                deadline_s=submission.deadline_s,
            )
        )
        crash.reach("producer.after_open")
        return MapPlan(
            ticket=Ticket(job_id=header.job, tool=header.tool, digest=header.digest, single=False),
            encode=row_encoder(use, on_invalid, first=0),
            skip=0,
            feeder=Feeder(self._sender(submission), self._toolbox, self._settings),
        )

    def resume_map(
        self, work: Work, options: CallOptions, on_invalid: OnInvalid, job_id: str
    ) -> Flow[MapPlan]:
        """Go on with a map whose feeder ended before its input."""
        _check_map(options, on_invalid)
        record = yield from self.job(job_id)
        if isinstance(work, Pipeline):
            target = Target.of(work, options)
            return (yield from self.runs.resume_map(target, options, on_invalid, record))
        use = yield from self._toolbox.find(work)
        if use.pipeline is not None:
            target = Target.named(use, options)
            return (yield from self.runs.resume_map(target, options, on_invalid, record))
        if record.single or record.tool != use.full_name:
            kind = "a single call" if record.single else "a map"
            raise ConfigurationError(f"Job {job_id} is {kind} of {record.tool}, not a map of {use.full_name}")
        if record.digest != use.digest:
            use = yield from self._toolbox.pinned(record.tool, record.digest)
        feeder = None
        if record.total is None and not record.state.final:
            submission = yield from self._compose(use, options, job_id, resumed=record)
            feeder = Feeder(self._sender(submission), self._toolbox, self._settings, resumed=record)
        return MapPlan(
            ticket=Ticket.from_record(record),
            encode=row_encoder(use, on_invalid, first=record.accepted),
            skip=record.accepted,
            feeder=feeder,
        )

    def resume(
        self, job_id: str, *, pinned: bool, latest: bool, inputs: Sequence[Any] | None
    ) -> Flow[Ticket]:
        """Go on with a run that has ended, from where its items failed or were stopped."""
        from penstock_scheduler.resuming import Resuming, Terms  # as above

        resuming = Resuming(self.runs, self._signer, self._toolbox)
        return (yield from resuming.resume(job_id, Terms(pinned=pinned, latest=latest, inputs=inputs)))

    def signature(
        self, work: Work, params: Any, options: CallOptions, *, app: Celery | None, immutable: bool
    ) -> Flow[Signature[Any]]:
        """A Celery signature of one call, or of one item of a pipeline."""
        from penstock_scheduler.signatures import Signatures  # as above

        signatures = Signatures(self._settings, self._signer, self._toolbox, self.runs)
        return (yield from signatures.make(work, params, options, app=app, immutable=immutable))

    def job(self, job_id: str) -> Flow[JobRecord]:
        """Look up one job."""
        return (yield from ask(lambda wire: wire.ledger.job(job_id)))

    def jobs(self, limit: int) -> Flow[list[JobRecord]]:
        """Look up the newest jobs."""
        return (yield from ask(lambda wire: wire.ledger.jobs(limit)))

    def cancel(self, job_id: str) -> Flow[bool]:
        """End a job now."""
        crash.reach("producer.before_cancel")
        cancelled = yield from ask(lambda wire: wire.ledger.cancel(job_id))
        crash.reach("producer.after_cancel")
        return cancelled

    def tools(self) -> Flow[list[Tool]]:
        """Look up the catalog's tools."""
        return (yield from self._toolbox.tools())

    def submitted(self, job_id: str, countdown: Countdown) -> Flow[int]:
        """Wait until a job's input has ended, wherever it is fed; returns how many calls it gave."""
        cursor = "0"
        while True:
            record = yield from self.job(job_id)
            if record.total is not None or record.state.final:
                return record.accepted
            if countdown.over:
                raise WaitTimeoutError(
                    f"The input of job {job_id} had not ended after {countdown.wait_s:g} s; it goes on"
                )
            cursor, _ = yield from ask(_hear(job_id, cursor, countdown.slice_s(LOOK_AGAIN_S)))

    def flush(self, tool: str, batch_key: str, tenant: str | None) -> Flow[int]:
        """What waits under a batch key leaves now; returns how many calls that are."""
        use = yield from self._toolbox.find(tool)
        whose = tenant or self._settings.tenant
        crash.reach("producer.before_flush")
        calls = yield from ask(
            lambda wire: wire.ledger.flush(tenant=whose, tool=use.full_name, key=batch_key)
        )
        crash.reach("producer.after_flush")
        return calls

    def _sender(self, submission: Submission) -> CallSender:
        return CallSender(submission, self._settings.ring_after_s)

    def _announce(self, header: BatchHeader) -> None:
        if self._hooks is not NO_HOOKS:
            note = SubmissionNote(job=header.job, tool=header.tool, tenant=header.tenant, pipeline=False)
            self._hooks.before_submission(note)

    def _compose(
        self,
        use: ToolUse,
        options: CallOptions,
        job_id: str,
        *,
        resumed: JobRecord | None = None,
        keyed: bool = False,
    ) -> Flow[Submission]:
        now_ms = yield from ask(lambda wire: wire.now_ms())
        return compose(
            use,
            options,
            job_id=job_id,
            tenant=self._settings.tenant,
            signer=self._signer,
            now_ms=now_ms,
            resumed=resumed,
            keyed=keyed,
        )


def _check_map(options: CallOptions, on_invalid: OnInvalid) -> None:
    check_options(options, CallOptions)
    if on_invalid not in ("record", "stop"):
        raise ConfigurationError(f"on_invalid must be 'record' or 'stop', got {on_invalid!r}")


def _hear(job_id: str, cursor: str, wait_s: float) -> Effect[tuple[str, list[Completion]]]:
    return lambda wire: wire.completions(job_id, cursor=cursor, wait_s=wait_s, count=1000)
