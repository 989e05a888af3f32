"""What the ledger keeps and hands out of flows: items of a run that go through a pipeline together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from penstock_broker_config.ledger.batch_records import RecordKind

#: Where a member of a fan-out is that has ended.
END = "end"


def top_flow(run: str, base: int) -> str:
    """The flow of a run's items from `base` on."""
    return f"{run}/{base}"


def member_flow(parent: str, stage: str, member: int) -> str:
    """The flow of a member of the fan-out that `parent` made at `stage`."""
    return f"{parent}/{stage}.{member}"


def inner_job(flow: str, stage: str, name: str = "") -> str:
    """The inner job of a flow's stage; with a name one of several."""
    return f"{flow}:{stage}-{name}" if name else f"{flow}:{stage}"


def run_of(flow: str) -> str:
    """The run that a flow, or an inner job, belongs to."""
    return flow.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStep:
    """A stage as the ledger and messages name it."""

    #: Number of the stage in its program, or u0, u1, … of undoing.
    stage: str
    #: Full name of the queue on which it is sent.
    queue: str
    #: The row that Flower shows it in: a tool, or `PIPELINE:transform` and so on.
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """A run of a pipeline, as its first flow creates it."""

    run: str
    #: Name of the pipeline.
    pipeline: str
    #: sha256 of the plan.
    digest: str
    #: Of the bundles that the plan pins: they are kept until the run ends.
    bundles: Sequence[str] = ()
    tenant: str
    #: Full name of the queue that the run was sent to.
    queue: str
    #: The plan, sealed. Empty: the run has it already.
    plan: bytes = b""


class InnerOf(NamedTuple):
    """Whose inner job is submitted: the holder of a flow, at a stage, shows its fence."""

    flow: str
    stage: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of a fan-out before it begins."""

    #: Number of its program in the plan.
    program: int
    #: Items that it carries.
    items: int
    #: Its items, sealed for `member_flow(...)` and its first stage.
    state: bytes
    first: FlowStep
    #: Index of its first item; of no meaning to the ledger.
    base: int = 0


class FlowState(StrEnum):
    """What came of entering a stage."""

    #: It is yours.
    GRANTED = "granted"
    #: The flow has ended, or never was, or its run has ended: nothing to do.
    GONE = "gone"
    #: Somebody else holds it.
    HELD = "held"
    #: The flow has not come so far, or waits for its members: nothing to do.
    EARLY = "early"
    #: This stage is done.
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowClaim:
    """The answer to entering a stage; with GRANTED, everything that is needed to go on."""

    state: FlowState
    #: Who holds it, with HELD.
    holder: str = ""

    #: With EARLY and DONE: where the flow is.
    at: str = ""
    #: With DONE: what the stage's task returned.
    summary: str = ""
    #: With DONE: nobody has entered the next stage yet, so that the chain may be sent on.
    goes_on: bool = False
    #: With DONE of a member: it was the last one, and nobody has entered the stage that gathers them.
    last: bool = False
    #: With DONE of a fan-out's stage: how many members there are.
    members: int = 0
    #: With EARLY and DONE: members that have not ended.
    waiting: int = 0

    #: Grows each time that the flow is entered; advancing needs the current one.
    fence: int = 0
    #: Number of the program in the plan.
    program: int = 0
    #: Items as they were saved, sealed.
    items: bytes = b""
    #: How many, and the index of the first one.
    count: int = 0
    base: int = 0
    #: Positions that have ended and whose results are recorded.
    ended: frozenset[int] = frozenset()
    #: Times that a holder was lost at this stage.
    losses: int = 0
    #: Redis's clock; when the flow began; by when its run must have ended (None: no deadline).
    now_ms: int = 0
    created_ms: int = 0
    deadline_ms: int | None = None
    tenant: str = ""
    #: The flow that this one is a member of; "" of a run's own.
    parent: str = ""
    #: The operator limits the tenant or one of the tools asked about: calls must go through inner jobs.
    limited: bool = False
    #: Inner jobs that this stage has already, in the order in which they were submitted.
    inner: tuple[str, ...] = ()
    #: Stage → traces, where they were asked for.
    traces: Mapping[str, bytes] = field(default_factory=dict)


class ItemRecord(NamedTuple):
    """What is recorded of an item that ends."""

    #: In the flow (0-based).
    position: int
    kind: RecordKind
    record: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDone:
    """What came of a stage; the ledger takes all of it or nothing."""

    flow: str
    stage: str
    fence: int
    #: The items as they are now, sealed for the next stage; of a member that ends what it gives back, sealed
    #: for `END`.
    items: bytes = b""
    #: What this stage adds to the traces. Empty: nothing.
    traces: bytes = b""
    #: What the stage's task returns.
    summary: str = ""
    #: Items that end here, by position; of a run's own flows only. All that are left, when the flow ends.
    records: Sequence[ItemRecord] = ()
    #: Position → state of failed items, from which another run may go on, sealed.
    resume: Mapping[int, bytes] = field(default_factory=dict)
    #: `LABEL|in`, `LABEL|out`, `LABEL|failed`, `LABEL|filtered`, `LABEL|us` → how much more.
    counters: Mapping[str, int] = field(default_factory=dict)


class Advance(StrEnum):
    """What came of an advance."""

    #: Done, or done before (an answer that got lost).
    OK = "ok"
    #: The run has ended: stop, nothing was recorded.
    STOPPED = "stopped"
    #: The lease went to somebody else, or the flow is gone.
    LOST = "lost"


class Advanced(NamedTuple):
    """What an advance answers."""

    state: Advance
    #: It was a member, and the last one: its parent's next stage is to be sent.
    last: bool = False
    #: That parent, and where it is.
    parent: str = ""
    parent_step: FlowStep | None = None


class Leave(StrEnum):
    """What came of letting go of a flow."""

    #: Let go; the ledger says when it may go on.
    LEFT = "left"
    #: What it would have waited for has ended: it is still held, and goes on.
    READY = "ready"
    LOST = "lost"


class Resumable(NamedTuple):
    """What another run can go on from."""

    #: Index → state of an item that failed, sealed.
    items: Mapping[int, bytes]
    #: Flows that never ended.
    flows: Sequence[ResumableFlow]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumableFlow:
    """A flow that never ended, as it was left."""

    base: int
    program: int
    stage: str
    count: int
    #: Positions that had ended before.
    ended: frozenset[int]
    #: Items, sealed for `top_flow(run, base)` and `stage`.
    items: bytes
    #: Stage → traces.
    traces: Mapping[str, bytes]
