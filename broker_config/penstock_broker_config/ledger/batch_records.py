"""What the ledger keeps of batches, and its answers to those who submit, claim and commit them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from penstock_broker_config.ledger.job_records import JobState

#: Version of the envelope and of every ledger record (I-11). A record of another version is refused.
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """What all calls of a batch share; part of what each call's MAC covers."""

    job: str
    #: Full name, `plugin.tool`.
    tool: str
    #: sha256 of the plugin's bundle, pinned at submit.
    digest: str
    tenant: str
    #: Celery queue on which the doorbell rings.
    queue: str
    #: A call that may have been started is never started again.
    once: bool
    #: After this the calls must not run; Redis's clock.
    expires_ms: int
    #: Seconds of one execution, as the submission narrowed it. None: as the manifest says.
    timeout_s: float | None = None
    #: Submitted under an idempotency key: it may be run again although its tool may not.
    keyed: bool = False
    #: Session and request context (X-1): plain JSON values, never code.
    session: dict[str, Any] | None = None
    request: dict[str, Any] | None = None
    #: How failed calls are tried again (`max_attempts`, `base_ms`, `cap_ms`), as a pipeline's step says it.
    #: None: as the manifest says.
    retry: dict[str, int] | None = None
    v: int = SCHEMA_VERSION

    @property
    def policy(self) -> str:
        """What calls must have in common, beside tool, digest, tenant and queue, to run in one batch."""
        said = [] if self.timeout_s is None else [f"timeout_s={self.timeout_s:g}"]
        if self.retry is not None:
            said.append("retry=" + ",".join(f"{name}:{self.retry[name]}" for name in sorted(self.retry)))
        return " ".join(said)

    def to_json(self) -> bytes:
        """As JSON. The fields stand in one order, so that equal headers have equal bytes."""
        if self.retry is None:
            shape = {name: getattr(self, name) for name in self.__slots__ if name != "retry"}
            return orjson.dumps(shape)
        return orjson.dumps(self)


class CallEntry(NamedTuple):
    """One call of a batch as it travels."""

    #: Position in the job.
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
    #: The params as JSON text: opaque to everything between producer and guest.
    params: str
    #: MAC over header, index and params; empty when no signing key is set.
    mac: str = ""


class Submitted(NamedTuple):
    """What the ledger answers to a submit."""

    #: False: this batch was accepted before (a repeated submit), nothing was added.
    accepted: bool
    #: The job that holds the calls; the first one's where an idempotency key was used before.
    job_id: str
    #: Measured cost of one call of this tool, microseconds. None: not measured yet.
    cost_us: float | None
    #: Calls of this job that have ended, in whatever way.
    finished: int
    #: The catalog's version counter.
    catalog_version: int
    #: Where the job stands; a job that is final accepts no more calls.
    state: JobState
    #: The operator limits this tool or tenant: nothing was accepted, `enqueue` the calls.
    limited: bool = False
    #: Of an inner job: the flow went on without this one, or its run has ended; nothing was accepted.
    lost: bool = False


class ClaimState(StrEnum):
    """What came of a claim."""

    #: It is yours.
    GRANTED = "granted"
    #: Finished, cancelled, expired or never there: nothing to do.
    GONE = "gone"
    #: Somebody else holds the lease.
    HELD = "held"
    #: A limit is reached; a dispatcher rings when it may run.
    PARKED = "parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The answer to a claim; with GRANTED, everything that is needed to run the batch."""

    state: ClaimState
    #: Who holds the lease, with HELD.
    holder: str = ""
    #: Grows with every claim; commits with an older one are refused.
    fence: int = 0
    #: The header as the producer wrote it (JSON); of a formed batch, one a line.
    header: bytes = b""
    #: All calls of the batch, a JSON array: [index, params, mac], as the producer wrote them; of a formed
    #: batch [number of its header, index, attempts, accepted at, params, mac].
    calls: bytes = b""
    #: How many calls the batch has.
    calls_in_batch: int = 0
    #: How many of them, from the first on, are recorded already.
    recorded: int = 0
    #: Executions that the first unrecorded call may have had before.
    attempts: int = 0
    #: Commit each call by itself: the batch lost a worker before, or its calls may be started once only.
    careful: bool = False
    #: Redis's clock when the claim was granted.
    now_ms: int = 0
    #: When the batch was accepted.
    created_ms: int = 0
    #: By when the job must have ended. None: no deadline, or the calls have theirs in their headers.
    deadline_ms: int | None = None
    #: Formed of calls of several jobs; else a stretch of one job's.
    formed: bool = False
    #: It holds slots of limits: no call may run longer than the lease.
    limited: bool = False
    #: Positions whose calls must not run: their jobs have ended, or their deadlines have passed.
    closed: frozenset[int] = frozenset()


class RecordKind(StrEnum):
    """What is recorded of one call."""

    SUCCESS = "s"
    FAILURE = "f"
    #: It failed and is tried again later; nothing is recorded yet.
    RETRY = "r"
    #: Its job has ended: nothing is recorded.
    NOTHING = "n"


class Commit(StrEnum):
    """What came of a commit, a renewal or a release."""

    #: Recorded (or renewed); the lease goes on.
    OK = "ok"
    #: The batch is finished.
    FINISHED = "finished"
    #: The job was cancelled or has expired: stop, nothing more is recorded.
    STOPPED = "stopped"
    #: The job of the call that runs has ended; the other calls go on.
    SKIP = "skip"
    #: The lease went to somebody else, or the batch is gone.
    LOST = "lost"


class Overdue(NamedTuple):
    """A batch whose doorbell is to be rung again, or a flow whose next step is to be sent again."""

    #: Of a flow: `>FLOW`.
    batch_id: str
    queue: str
    #: Of a flow: its stage's label.
    tool: str
    #: Of a flow: its items.
    calls: int
    #: Where a flow is; "" of a batch.
    stage: str = ""

    @property
    def flow(self) -> str:
        """The flow's id; "" of a batch."""
        return self.batch_id[1:] if self.stage else ""
