"""The blocking ledger's side of runs and flows: what producers, workers and schedulers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import Submitted
from penstock_broker_config.ledger.flow_reading import (
    POSITION,
    names_of_traces,
    read_position,
    read_resumable,
)
from penstock_broker_config.ledger.flow_records import (
    Advance,
    Advanced,
    FlowClaim,
    FlowStep,
    InnerOf,
    Leave,
    Member,
    Resumable,
    RunSpec,
    StageDone,
    member_flow,
)
from penstock_broker_config.ledger.flowing import FlowRequests, in_plantings
from penstock_broker_config.ledger.requests import Bounds, Retention
from penstock_broker_config.ledger.scripted import Scripted
from penstock_broker_config.ledger.working import ClaimTerms

#: Members that are read at once.
_MEMBERS_AT_ONCE = 500


class FlowSide(Scripted):
    """Runs and their flows. Every method may be called again when its answer got lost."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        retention: Retention | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        super().__init__(client, keys, retention, bounds)
        self._flowing = FlowRequests(keys, self._retention, self._bounds)

    # What producers do --------------------------------------------------------------------------------

    def open_run(self, spec: RunSpec, *, deadline_s: float | None = None) -> bool:
        """Create a run without items; False when it was there."""
        return self._run(self._flowing.open_run(spec, deadline_s=deadline_s))

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
    ) -> Submitted:
        """Accept items of a run as one flow, `top_flow(run, base)`; the run is created with its first one.

        Args:
            spec: the run; with its plan unless `open_run` or an earlier flow gave it.
            items: their states, sealed for the flow and `first.stage`.
            base: index of the first item: how many the run has accepted before.
            count: how many; 2,048 at most.
            size_bytes: of their inputs, large values included.
            first: the stage at which they begin.
            program: of the plan.
            deadline_s, total, idempotency, single, ring_after_s: as for `Ledger.submit`.

        Raises:
            OverloadedError: too much waits; nothing was accepted.
            ConflictError, JobNotFoundError: as for `Ledger.submit`.
        """
        return self._run(
            self._flowing.begin(
                spec,
                items,
                base=base,
                count=count,
                size_bytes=size_bytes,
                first=first,
                program=program,
                deadline_s=deadline_s,
                total=total,
                idempotency=idempotency,
                single=single,
                ring_after_s=ring_after_s,
            )
        )

    # What workers do ----------------------------------------------------------------------------------

    def enter(
        self,
        flow: str,
        stage: str,
        terms: ClaimTerms,
        *,
        traces: bool = False,
        calls: Sequence[str] = (),
    ) -> FlowClaim:
        """Take the lease of a flow, if it is at that stage and may go on. `renew` keeps it (as `>FLOW`).

        Args:
            flow: its id.
            stage: that the message names.
            terms: who takes it, and for how long.
            traces: whether the traces of earlier stages are wanted.
            calls: full names of tools that the stage would call without asking any limit; see
                `FlowClaim.limited`.
        """
        return self._run(self._flowing.enter(flow, stage, terms, traces=traces, calls=calls))

    def advance(self, done: StageDone, following: FlowStep | None, *, ring_after_s: float = 5.0) -> Advanced:
        """Say that a stage is done; all of it is kept, or nothing.

        Args:
            done: what came of it.
            following: where the items go now. None: the flow has ended (always so when no item goes on).
            ring_after_s: seconds after which the reaper sends the next step, should it get lost.
        """
        return self._run(self._flowing.advance(done, following, members=None, ring_after_s=ring_after_s))

    def plant(self, flow: InnerOf, members: Sequence[Member]) -> Advance:
        """Keep the members of a fan-out that `fan` makes begin: `member_flow(flow, stage, 0)` and so on."""
        for first, some in in_plantings(members):
            word = self._run(self._flowing.plant(flow, some, first=first))
            if word is not Advance.OK:
                return word
        return Advance.OK

    def fan(
        self, done: StageDone, gathering: FlowStep, *, members: int, ring_after_s: float = 5.0
    ) -> Advanced:
        """Make the planted members begin; the flow waits for all of them before it is at `gathering`.

        Raises:
            ValueError: not all of them were planted.
        """
        return self._run(self._flowing.advance(done, gathering, members=members, ring_after_s=ring_after_s))

    def members(self, flow: str, stage: str, count: int) -> list[bytes | None]:
        """What the members of a fan-out gave back, sealed for `END`; None of one that has not ended."""
        found: list[bytes | None] = []
        for start in range(0, count, _MEMBERS_AT_ONCE):
            with self._redis.pipeline(transaction=False) as pipe:
                for number in range(start, min(start + _MEMBERS_AT_ONCE, count)):
                    pipe.hget(self.keys.flow(member_flow(flow, stage, number)), "res")
                found += pipe.execute()
        return found

    def leave(self, flow: InnerOf, *, waits: bool = False) -> Leave:
        """Let go of a flow before its stage is done; nobody is charged.

        Args:
            flow: with stage and fence.
            waits: only when its last inner job is still on its way; else `Leave.READY`, and it is held.
        """
        return self._run(self._flowing.leave(flow, waits=waits))

    # What all of them read ----------------------------------------------------------------------------

    def plan(self, run: str) -> bytes | None:
        """A run's plan, sealed for the run. None: there is none."""
        return cast("bytes | None", self._redis.get(self.keys.plan(run)))

    def traces(self, flow: str) -> dict[str, bytes]:
        """Stage → traces of a flow that has not ended."""
        fields = cast("dict[bytes, bytes]", self._redis.hgetall(self.keys.flow(flow)))
        return {
            name[1:].decode(): value
            for name, value in fields.items()
            if name[:1] == b"t" and (name[1:].isdigit() or name[1:2] == b"u")
        }

    def steps(self, run: str) -> dict[str, int]:
        """`LABEL|what` → count, over all items of a run."""
        fields = cast("dict[bytes, bytes]", self._redis.hgetall(self.keys.steps(run)))
        return {name.decode(): int(count) for name, count in fields.items()}

    def position(self, flow: str) -> tuple[int, str] | None:
        """The program and the stage that a flow is at, or waits for. None: it has ended."""
        return read_position(cast("list[bytes | None]", self._redis.hmget(self.keys.flow(flow), POSITION)))

    def resumable(self, run: str) -> Resumable:
        """What another run can go on from; complete when the run has ended and its flows are closed."""
        return read_resumable(cast("dict[bytes, bytes]", self._redis.hgetall(self.keys.resumable(run))))

    def left_traces(self, run: str, index: int) -> tuple[int, dict[str, bytes]]:
        """Of a run that has ended: the base of the flow in which an item was left, and stage → its traces."""
        key = self.keys.resumable(run)
        base, names = names_of_traces(cast("list[bytes]", self._redis.hkeys(key)), index)
        values = cast("list[bytes | None]", self._redis.hmget(key, list(names.values()))) if names else []
        return base, {stage: one for stage, one in zip(names, values, strict=True) if one is not None}

    def open_flows(self, run: str) -> int:
        """Flows of a run that have not ended or are not closed yet."""
        return int(cast("Any", self._redis.scard(self.keys.flows(run))))

    def attach(self, run: str, after: bytes) -> None:
        """Keep what waits for a run's end: a foreign canvas's chain, chord, group, task id and root."""
        self._redis.set(self.keys.after(run), after)

    def attached(self, run: str) -> bytes | None:
        """What `attach` kept. None: nothing waits."""
        return cast("bytes | None", self._redis.get(self.keys.after(run)))
