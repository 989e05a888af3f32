"""What is asked of the ledger for flows: items of a run on their way through a pipeline. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.flow_records import (
    Advance,
    Advanced,
    FlowClaim,
    FlowState,
    FlowStep,
    InnerOf,
    Leave,
    Member,
    Resumable,
    ResumableFlow,
    RunSpec,
    StageDone,
)
from penstock_broker_config.ledger.producing import read_submitted
from penstock_broker_config.ledger.records import Submitted
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
            read=_read_claim,
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
            read=_advanced_reader(done),
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


def read_resumable(fields: Mapping[bytes, bytes]) -> Resumable:
    """What a run left for another one to go on from."""
    items: dict[int, bytes] = {}
    flows: dict[int, tuple[str, bytes]] = {}
    traces: dict[int, dict[str, bytes]] = {}
    for name, value in fields.items():
        key = name.decode()
        if not key.startswith(">"):
            items[int(key)] = value
            continue
        base, _, stage = key[1:].partition(":")
        if stage:
            traces.setdefault(int(base), {})[stage] = value
        else:
            said, _, state = value.partition(b"\n")
            flows[int(base)] = said.decode(), state
    found = []
    for number, (line, state) in sorted(flows.items()):
        program, stage, count, ended = line.split(" ")
        found.append(
            ResumableFlow(
                base=number,
                program=int(program),
                stage=stage,
                count=int(count),
                ended=frozenset(map(int, ended.split(","))) if ended else frozenset(),
                items=state,
                traces=traces.get(number, {}),
            )
        )
    return Resumable(items, found)


def _ms(seconds: float | None) -> str | int:
    return "" if seconds is None else int(seconds * 1000)


def _planted(member: Member) -> tuple[str | bytes | int, ...]:
    step = member.first
    return (member.program, member.items, member.base, step.stage, step.queue, step.label, member.state)


def _advanced_reader(done: StageDone) -> Callable[[list[Any]], Advanced]:
    def read(answer: list[Any]) -> Advanced:
        word = text(answer[0])
        if word == "unplanted":
            raise ValueError(f"{answer[1]} members of {done.flow} at {done.stage} were not planted")
        if word != Advance.OK.value:
            return Advanced(Advance(word))
        _, last, parent, stage, queue, label = answer
        step = FlowStep(stage=text(stage), queue=text(queue), label=text(label)) if parent else None
        return Advanced(Advance.OK, last=bool(last), parent=text(parent), parent_step=step)

    return read


def _read_claim(answer: list[Any]) -> FlowClaim:
    state = FlowState(text(answer[0]))
    match state:
        case FlowState.HELD:
            return FlowClaim(state=state, holder=text(answer[1]))
        case FlowState.EARLY:
            return FlowClaim(state=state, at=text(answer[1]), waiting=int(answer[2]))
        case FlowState.DONE:
            _, at, summary, goes_on, last, members, waiting = answer
            return FlowClaim(
                state=state,
                at=text(at),
                summary=text(summary),
                goes_on=bool(goes_on),
                last=bool(last),
                members=int(members),
                waiting=int(waiting),
            )
        case FlowState.GONE:
            return FlowClaim(state=state)
    _, fence, program, items, count, base, ended, losses, now, created, deadline, *rest = answer
    tenant, parent, limited, inner, traces = rest
    return FlowClaim(
        state=state,
        fence=int(fence),
        program=int(program),
        items=items,
        count=int(count),
        base=int(base),
        ended=frozenset(map(int, ended.split())),
        losses=int(losses),
        now_ms=int(now),
        created_ms=int(created),
        deadline_ms=int(deadline) if deadline else None,
        tenant=text(tenant),
        parent=text(parent),
        limited=bool(limited),
        inner=tuple(text(inner).split()),
        traces={text(traces[i]): traces[i + 1] for i in range(0, len(traces), 2)},
    )
