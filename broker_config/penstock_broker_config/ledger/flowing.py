"""What is asked of the ledger for flows: items of a run on their way through a pipeline. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import Submitted
from penstock_broker_config.ledger.flow_reading import advanced_reader, read_flow_claim
from penstock_broker_config.ledger.flow_records import (
    Advance,
    Advanced,
    FlowClaim,
    FlowStep,
    InnerOf,
    Leave,
    Member,
    RunSpec,
    StageDone,
)
from penstock_broker_config.ledger.producing import read_submitted
from penstock_broker_config.ledger.requests import Bounds, Request, Retention, text
from penstock_broker_config.ledger.working import ClaimTerms

#: Members that one script plants at most, and bytes of what they carry.
PLANT_MEMBERS = 200
PLANT_BYTES = 1 << 20


class FlowRequests:
    """Builds the requests of producers, workers and schedulers that have to do with runs."""

    def __init__(self, keys: Keys, retention: Retention, bounds: Bounds) -> None:
        self._keys = keys
        self._keep = retention.args
        self._bounds = bounds

    def open_run(self, spec: RunSpec, *, deadline_s: float | None) -> Request[bool]:
        return Request(
            script="open_run",
            keys=[self._keys.jobs],
            args=[
                self._keys.prefix,
                spec.run,
                spec.pipeline,
                spec.digest,
                spec.tenant,
                spec.queue,
                _ms(deadline_s),
                spec.plan,
                " ".join(spec.bundles),
            ],
            read=bool,
        )

    def begin(
        self,
        spec: RunSpec,
        items: bytes,
        *,
        base: int,
        count: int,
        size_bytes: int,
        first: FlowStep,
        program: int,
        deadline_s: float | None,
        total: int | None,
        idempotency: tuple[str, str] | None,
        single: bool,
        ring_after_s: float,
    ) -> Request[Submitted]:
        keys = self._keys
        key, params_digest = idempotency or ("", "")
        return Request(
            script="begin",
            keys=[
                keys.open,
                keys.jobs,
                keys.costs,
                keys.catalog_version,
                keys.idempotency(spec.tenant, spec.pipeline, key) if key else keys.open,
            ],
            args=[
                keys.prefix,
                spec.run,
                base,
                count,
                items,
                program,
                first.stage,
                first.queue,
                first.label,
                spec.pipeline,
                spec.digest,
                spec.tenant,
                _ms(deadline_s),
                "" if total is None else total,
                int(single),
                int(ring_after_s * 1000),
                params_digest if key else "",
                *self._keep,
                *self._bounds.args,
                size_bytes,
                spec.plan,
                " ".join(spec.bundles),
                spec.queue,
            ],
            read=read_submitted,
        )

    def enter(
        self, flow: str, stage: str, terms: ClaimTerms, *, traces: bool, calls: Sequence[str]
    ) -> Request[FlowClaim]:
        return Request(
            script="enter",
            keys=[self._keys.open],
            args=[
                self._keys.prefix,
                flow,
                stage,
                terms.holder,
                int(terms.lease_s * 1000),
                terms.takeover,
                *self._keep,
                int(traces),
                *calls,
            ],
            read=read_flow_claim,
        )

    def advance(
        self, done: StageDone, following: FlowStep | None, *, members: int | None, ring_after_s: float
    ) -> Request[Advanced]:
        step = following or FlowStep(stage="", queue="", label="")
        return Request(
            script="advance",
            keys=[self._keys.open],
            args=[
                self._keys.prefix,
                done.flow,
                done.stage,
                done.fence,
                step.stage,
                step.queue,
                step.label,
                "" if members is None else members,
                done.items,
                done.traces,
                done.summary,
                int(ring_after_s * 1000),
                *self._keep,
                len(done.records),
                *(part for record in sorted(done.records) for part in record),
                len(done.resume),
                *(part for pair in done.resume.items() for part in pair),
                len(done.counters),
                *(part for pair in done.counters.items() for part in pair),
            ],
            read=advanced_reader(done),
        )

    def plant(self, of: InnerOf, members: Sequence[Member], *, first: int) -> Request[Advance]:
        return Request(
            script="plant",
            keys=[],
            args=[
                self._keys.prefix,
                *of,
                first,
                *(part for member in members for part in _planted(member)),
            ],
            read=lambda answer: Advance(text(answer)),
        )

    def leave(self, of: InnerOf, *, waits: bool) -> Request[Leave]:
        return Request(
            script="leave",
            keys=[self._keys.open],
            args=[self._keys.prefix, *of, int(waits)],
            read=lambda answer: Leave(text(answer)),
        )


def in_plantings(members: Sequence[Member]) -> list[tuple[int, Sequence[Member]]]:
    """The members in pieces that one script takes, each with the number of its first."""
    pieces: list[tuple[int, Sequence[Member]]] = []
    start, size = 0, 0
    for number, member in enumerate(members):
        full = number - start >= PLANT_MEMBERS or size + len(member.state) > PLANT_BYTES
        if full and number > start:
            pieces.append((start, members[start:number]))
            start, size = number, 0
        size += len(member.state)
    if start < len(members):
        pieces.append((start, members[start:]))
    return pieces


def _ms(seconds: float | None) -> str | int:
    return "" if seconds is None else int(seconds * 1000)


def _planted(member: Member) -> tuple[str | bytes | int, ...]:
    step = member.first
    return (member.program, member.items, member.base, step.stage, step.queue, step.label, member.state)
