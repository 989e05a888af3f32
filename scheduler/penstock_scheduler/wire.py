"""What the flows ask for from the outside, as a blocking producer gets it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from penstock_broker_config.dead_letters import DeadLetter, LetterFilter
from penstock_broker_config.ledger import (
    BatchHeader,
    Buffer,
    BufferedCall,
    CallEntry,
    Completion,
    FlowStep,
    JobRecord,
    JobState,
    Resumable,
    RunSpec,
    Submitted,
)
from penstock_plugins.record import PluginRecord


class ProducerLedger(Protocol):
    """The producers' side of the ledger: `Ledger`, and `AsyncLedger` when awaited."""

    def open_job(
        self, job_id: str, *, tool: str, digest: str, tenant: str, queue: str, deadline_s: float | None = None
    ) -> bool: ...

    def submit(
        self,
        header: BatchHeader,
        calls: Sequence[CallEntry],
        *,
        base: int,
        deadline_s: float | None = None,
        total: int | None = None,
        idempotency: tuple[str, str] | None = None,
        single: bool = False,
        ring_after_s: float = 5.0,
    ) -> Submitted: ...

    def enqueue(
        self,
        header: BatchHeader,
        calls: Sequence[BufferedCall],
        buffers: Sequence[Buffer],
        *,
        base: int,
        deadline_s: float | None = None,
        total: int | None = None,
        idempotency: tuple[str, str] | None = None,
        single: bool = False,
        delay_s: float | None = None,
    ) -> Submitted: ...

    def open_run(self, spec: RunSpec, *, deadline_s: float | None = None) -> bool: ...

    def begin(
        self,
        spec: RunSpec,
        items: bytes,
        *,
        base: int,
        count: int,
        size_bytes: int,
        first: FlowStep,
        program: int = 0,
        deadline_s: float | None = None,
        total: int | None = None,
        idempotency: tuple[str, str] | None = None,
        single: bool = False,
        ring_after_s: float = 5.0,
    ) -> Submitted: ...

    def plan(self, run: str) -> bytes | None: ...

    def steps(self, run: str) -> dict[str, int]: ...

    def position(self, flow: str) -> tuple[int, str] | None: ...

    def resumable(self, run: str) -> Resumable: ...

    def left_traces(self, run: str, index: int) -> tuple[int, dict[str, bytes]]: ...

    def open_flows(self, run: str) -> int: ...

    def flush(self, *, tenant: str, tool: str, key: str) -> int: ...

    def seal(self, job_id: str, *, error: str = "") -> JobState: ...

    def cancel(self, job_id: str) -> bool: ...

    def job(self, job_id: str) -> JobRecord: ...

    def jobs(self, limit: int = 100) -> list[JobRecord]: ...

    def results(self, job_id: str, indexes: Sequence[int]) -> list[bytes | None]: ...


class LetterBox(Protocol):
    """The dead letters: `DeadLetters`, and `AsyncDeadLetters` when awaited."""

    def get(self, call_id: str) -> DeadLetter: ...

    def page(self, wanted: LetterFilter, *, offset: int = 0) -> tuple[list[DeadLetter], int | None]: ...

    def drop(self, call_ids: Sequence[str]) -> int: ...


class Wire(Protocol):
    """Everything that a flow may ask for."""

    @property
    def ledger(self) -> ProducerLedger: ...

    @property
    def dead_letters(self) -> LetterBox: ...

    def completions(
        self, job_id: str, *, cursor: str, wait_s: float, count: int
    ) -> tuple[str, list[Completion]]:
        """What ended in a job since `cursor`; waits up to `wait_s` seconds for something (0: not at all)."""
        ...

    def ring(self, batch_id: str, *, queue: str, tool: str, calls: int) -> None:
        """Ring the doorbell of a batch. Never fails: the reaper rings what was not heard."""
        ...

    def ring_step(self, flow: str, steps: Sequence[FlowStep], *, items: int) -> None:
        """Send the first of a flow's steps, with those that follow it. Never fails, like `ring`."""
        ...

    def costs(self, calls: Sequence[str]) -> list[float | None]:
        """Microseconds that a call takes, for each `DIGEST:plugin.tool`; None: it was not measured."""
        ...

    def put_value(self, job_id: str, value: bytes) -> bytes:
        """Keep a large value of a job; returns its reference."""
        ...

    def value(self, job_id: str, reference: bytes) -> bytes | None:
        """The large value that a reference stands for; None when it is lost."""
        ...

    def now_ms(self) -> int:
        """Redis's clock, near enough to sign an expiry with."""
        ...

    def catalog_version(self) -> int:
        """The catalog's counter."""
        ...

    def catalog(self) -> tuple[int, list[PluginRecord]]:
        """The catalog's counter, and all its plugins: read after this was asked, the counter first."""
        ...
