"""What a producer does with pipelines: runs them, for one item or for many. Flows, like `operations`."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from penstock_broker_config import crash
from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import JobRecord, JobState, RunSpec, top_flow
from penstock_broker_config.settings import Settings
from penstock_plugins.composites import find_in
from penstock_plugins.errors import ConfigurationError, JobNotFoundError
from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.check_effects import without_effect
from penstock_plugins.pipelines.hooks import NO_HOOKS, Hooks, SubmissionNote
from penstock_plugins.pipelines.inputs import input_text
from penstock_plugins.pipelines.plan import Plan
from penstock_scheduler.context import plain, request_context
from penstock_scheduler.encoding import OnInvalid
from penstock_scheduler.feeder import Feeder
from penstock_scheduler.flow import Flow, ask
from penstock_scheduler.jobids import new_job_id
from penstock_scheduler.map_plan import MapPlan
from penstock_scheduler.options import CallOptions, SubmitOptions
from penstock_scheduler.origin import Origin, origin_in
from penstock_scheduler.planning import Planned, make_plan, planned
from penstock_scheduler.run_sending import Beginnings, RunSender
from penstock_scheduler.run_target import Target
from penstock_scheduler.submission import choose_queue, params_digest
from penstock_scheduler.ticket import Ticket
from penstock_scheduler.toolbox import Toolbox
from penstock_scheduler.tree import RunTree, tree_of

#: Plans that are kept: a program submits the same few pipelines again and again.
_KEPT_PLANS = 32
#: What a caller may say of a call, and a pipeline says of its steps.
_OF_STEPS = ("timeout_s", "batch_key", "eta_s")

logger = logging.getLogger(__name__)


class Runs:
    """The steps of every operation on runs, with what they share."""

    def __init__(self, settings: Settings, signer: Signer, toolbox: Toolbox, hooks: Hooks = NO_HOOKS) -> None:
        self._settings = settings
        self._hooks = hooks
        self._signer = signer
        self._toolbox = toolbox
        #: With the tools that they were made of.
        self._plans: OrderedDict[tuple[str, str, str, bool], tuple[ToolIndex, Planned]] = OrderedDict()

    def submit(self, target: Target, given: Any, options: SubmitOptions) -> Flow[Ticket]:
        """Run one item."""
        check_run_options(options)
        found = yield from self.plan(target, options)
        state = Beginnings(found, target.pipeline.parameters).state(given)
        sender = yield from self.sender(found, options, new_job_id())
        key = options.get("idempotency_key")
        submitted = yield from sender.begin(
            sender.spec,
            [state],
            0,
            total=1,
            single=True,
            idempotency=None if key is None else (key, params_digest(_asked(target, given))),
        )
        self._toolbox.notice(submitted.catalog_version)
        if (
            submitted.job_id != sender.job_id
        ):  # the key was used before, perhaps with other releases of the tools
            first = submitted.job_id
            return Ticket.from_record((yield from ask(lambda wire: wire.ledger.job(first))))
        return _ticket(found, sender.job_id, single=True)

    def start_map(self, target: Target, options: CallOptions, on_invalid: OnInvalid) -> Flow[MapPlan]:
        """Create the run of a map, without items yet."""
        check_run_options(options)
        found = yield from self.plan(target, options)
        sender = yield from self.sender(found, options, new_job_id())
        crash.reach("producer.before_open_run")
        yield from ask(lambda wire: wire.ledger.open_run(sender.spec, deadline_s=sender.deadline_s))
        crash.reach("producer.after_open_run")
        return MapPlan(
            ticket=_ticket(found, sender.job_id, single=False),
            encode=Beginnings(found, target.pipeline.parameters).rows(on_invalid, first=0),
            skip=0,
            feeder=Feeder(sender, self._toolbox, self._settings),
        )

    def resume_map(
        self, target: Target, options: CallOptions, on_invalid: OnInvalid, record: JobRecord
    ) -> Flow[MapPlan]:
        """Go on with a map whose feeder ended before its input: with the plan that it began with."""
        check_run_options(options)
        found = yield from self.plan_of(record)
        if record.single or found.plan.pipeline.digest() != target.pipeline.digest():
            raise ConfigurationError(
                f"Job {record.id} is no map of this pipeline: it began with another, or this was changed"
            )
        feeder = None
        if record.total is None and not record.state.final:
            sender = yield from self.sender(found, options, record.id, resumed=record)
            feeder = Feeder(sender, self._toolbox, self._settings, resumed=record)
        return MapPlan(
            ticket=Ticket.from_record(record),
            encode=Beginnings(found, found.plan.pipeline.parameters).rows(on_invalid, first=record.accepted),
            skip=record.accepted,
            feeder=feeder,
        )

    def tree(self, job_id: str) -> Flow[RunTree]:
        """How a run stands, step by step."""
        record = yield from ask(lambda wire: wire.ledger.job(job_id))
        found = yield from self.plan_of(record)
        counters = yield from ask(lambda wire: wire.ledger.steps(job_id))
        return tree_of(found.plan, counters, record, at=(yield from self._at(found, record)))

    def origin(self, job_id: str) -> Flow[Origin | None]:
        """Which run this one goes on with. None: with none, or it is no run of a pipeline."""
        record = yield from ask(lambda wire: wire.ledger.job(job_id))
        return origin_in((yield from self.plan_of(record)).plan.context) if record.pipeline else None

    def _at(self, found: Planned, record: JobRecord) -> Flow[frozenset[str] | None]:
        """Where the one item of a run is, which the counters say of the steps behind it only."""
        if not record.single or record.state is not JobState.RUNNING:
            return None
        position = yield from ask(lambda wire: wire.ledger.position(top_flow(record.id, 0)))
        return frozenset() if position is None else found.paths_at(*position)

    def plan_of(self, record: JobRecord) -> Flow[Planned]:
        """The plan of a run.

        Raises:
            ConfigurationError: the job is no run of a pipeline.
            JobNotFoundError: its plan has expired.
            EnvelopeError: it was not signed with our key, or changed.
        """
        if not record.pipeline:
            raise ConfigurationError(f"Job {record.id} is no run of a pipeline: it called {record.tool}")
        sealed = yield from ask(lambda wire: wire.ledger.plan(record.id))
        if sealed is None:
            raise JobNotFoundError(f"The plan of job {record.id} has expired")
        return planned(Plan.from_json(self._signer.unseal(record.id, sealed)))

    def sender(
        self,
        found: Planned,
        options: CallOptions | SubmitOptions,
        run: str,
        *,
        resumed: JobRecord | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Flow[RunSender]:
        """What sends the items of a run, of which hooks are told when it is a new one.

        `context` counts instead of what the options say of it.
        """
        now_ms = yield from ask(lambda wire: wire.now_ms())
        deadline_s = options.get("deadline_s") if resumed is None else None
        deadline_ms = None if resumed is None else resumed.deadline_ms
        if deadline_s is not None:
            deadline_ms = now_ms + int(1000 * deadline_s)
        session = options.get("session")
        said = {
            "session": None if session is None else plain(session, "session"),
            "request": request_context(options.get("request"), now_ms=now_ms),
        }
        tenant = resumed.tenant if resumed is not None else options.get("tenant") or self._settings.tenant
        # Signed with the plan: workers sign the calls of its steps for that tenant.
        plan = found.plan.with_context({**(said if context is None else context), "tenant": tenant})
        spec = RunSpec(
            run=run,
            pipeline=plan.label,
            digest=found.digest,
            bundles=plan.bundles,
            tenant=tenant,
            queue=plan.queue,
            plan=self._signer.seal(run, plan.to_json()),
        )
        if resumed is None and self._hooks is not NO_HOOKS:
            note = SubmissionNote(job=run, tool=spec.pipeline, tenant=spec.tenant, pipeline=True)
            self._hooks.before_submission(note)
        return RunSender(
            spec=spec,
            planned=found,
            signer=self._signer,
            deadline_s=deadline_s,
            deadline_ms=deadline_ms,
            ring_after_s=self._settings.ring_after_s,
        )

    def plan(self, target: Target, options: CallOptions | SubmitOptions) -> Flow[Planned]:
        """The plan of what is to be run, with its tools pinned now."""
        asked = options.get("queue")
        key = (target.pipeline.digest(), target.composite, asked or "", target.fuse)

        def make(index: ToolIndex) -> Planned:
            kept = self._plans.get(key)
            if kept is not None and kept[0] is index:
                return kept[1]
            made = make_plan(
                target.pipeline,
                index,
                lambda pool: choose_queue(asked, pool),
                composite=target.composite,
                fuse=target.fuse,
            )
            _say_idle(target, index)
            self._plans[key] = index, made
            while len(self._plans) > _KEPT_PLANS:
                self._plans.popitem(last=False)
            return made

        return (yield from self._toolbox.with_tools(make))


def check_run_options(options: CallOptions | SubmitOptions) -> None:
    """Refuse what is said of calls, not of runs.

    Raises:
        ConfigurationError: names it, and what to say instead.
    """
    for name in _OF_STEPS:
        if options.get(name) is not None:
            raise ConfigurationError(
                f"{name} is for calls of a tool: a pipeline says such things of its steps, "
                "and deadline_s is for the whole run"
            )


def _say_idle(target: Target, index: ToolIndex) -> None:
    """Log what a pipeline says without effect. Of a composite its author was told."""
    if target.composite:
        return
    name = target.pipeline.name
    for idle in without_effect(target.pipeline, find_in(index)):
        logger.warning("Pipeline %s, %s", name, idle, extra={"action": "setting_idle", "pipeline": name})


def _asked(target: Target, given: Any) -> bytes:
    """What an idempotency key of a run stands for: its input and, unless it is a tool's, the pipeline itself.

    A composite is the same call in another release, as every tool is.
    """
    text = input_text(given)
    if target.composite:
        return text
    return b'{"pipeline":"%s","input":%s}' % (target.pipeline.digest().encode(), text)


def _ticket(found: Planned, run: str, *, single: bool) -> Ticket:
    return Ticket(job_id=run, tool=found.plan.label, digest=found.digest, single=single, pipeline=True)
