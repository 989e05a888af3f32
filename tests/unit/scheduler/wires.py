"""A wire whose answers a test writes down: for flows, whose decisions depend on answers alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from penstock_broker_config.ledger import (
    BatchHeader,
    CallEntry,
    Completion,
    FlowStep,
    JobRecord,
    JobState,
    Submitted,
)
from penstock_plugins.record import PluginRecord
from penstock_scheduler.flow import Flow, run

T = TypeVar("T")


def job_record(job_id: str = "j", **changes: Any) -> JobRecord:
    """A running map, unless changed."""
    return JobRecord(
        **{
            "id": job_id,
            "tool": "text.stats",
            "tenant": "default",
            "digest": "d" * 64,
            "state": JobState.RUNNING,
            "single": False,
            "accepted": 0,
            "done": 0,
            "failed": 0,
            "expired": 0,
            "total": None,
            "created_ms": 1,
            "started_ms": None,
            "finished_ms": None,
            "deadline_ms": None,
            "status": "",
            "error": "",
            **changes,
        }
    )


class ScriptedLedger:
    """Accepts what is submitted, and says of the job what the test wants."""

    def __init__(self, record: JobRecord) -> None:
        self.record = record
        self.batches: list[tuple[int, list[CallEntry]]] = []
        self.sealed: list[str] = []
        self.recorded: Mapping[int, bytes] = {}
        self.cost_us: float | None = None
        #: Called before each submit is answered; may change what the ledger says.
        self.before_submit: Callable[[int], None] = lambda base: None
        self.accepts = True

    def submit(self, header: BatchHeader, calls: Sequence[CallEntry], *, base: int, **_: object) -> Submitted:
        self.before_submit(base)
        if self.accepts:
            self.batches.append((base, list(calls)))
        return Submitted(
            accepted=self.accepts,
            job_id=header.job,
            cost_us=self.cost_us,
            finished=self.record.done,
            catalog_version=1,
            state=self.record.state,
        )

    def seal(self, job_id: str, *, error: str = "") -> JobState:
        self.sealed.append(error)
        return self.record.state

    def job(self, job_id: str) -> JobRecord:
        return self.record

    def results(self, job_id: str, indexes: Sequence[int]) -> list[bytes | None]:
        return [self.recorded.get(index) for index in indexes]


class ScriptedWire:
    """Answers from lists; an answer that is missing is an empty one."""

    def __init__(
        self, record: JobRecord | None = None, *, stream: Sequence[Completion | Sequence[Completion]] = ()
    ) -> None:
        self.ledger: Any = ScriptedLedger(record or job_record())
        self.dead_letters: Any = None
        #: What each look at the stream finds.
        self.stream = [[part] if isinstance(part, Completion) else list(part) for part in stream]
        self.rings: list[str] = []
        #: Flow, labels of its steps, and items of each chain that was sent.
        self.steps: list[tuple[str, list[str], int]] = []
        self.measured_us: dict[str, float] = {}
        self.clock_ms = 1_000_000
        self.version = 1
        self.records: list[PluginRecord] = []
        self.reads = 0

    def completions(
        self, job_id: str, *, cursor: str, wait_s: float, count: int
    ) -> tuple[str, list[Completion]]:
        position = 0 if cursor == "0" else int(cursor)
        if position >= len(self.stream):
            return cursor, []
        return str(position + 1), self.stream[position]

    def ring(self, batch_id: str, *, queue: str, tool: str, calls: int) -> None:
        self.rings.append(batch_id)

    def ring_step(self, flow: str, steps: Sequence[FlowStep], *, items: int) -> None:
        self.steps.append((flow, [step.label for step in steps], items))

    def costs(self, calls: Sequence[str]) -> list[float | None]:
        return [self.measured_us.get(call) for call in calls]

    def put_value(self, job_id: str, value: bytes) -> bytes:
        """No script has large values."""
        raise AssertionError(f"a value of {len(value)} bytes of job {job_id}")

    def value(self, job_id: str, reference: bytes) -> bytes | None:
        """No script has large values."""
        raise AssertionError(f"{reference!r} of job {job_id}")

    def now_ms(self) -> int:
        return self.clock_ms

    def catalog_version(self) -> int:
        return self.version

    def catalog(self) -> tuple[int, list[PluginRecord]]:
        self.reads += 1
        return self.version, self.records

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow over this wire."""
        return run(flow, self)
