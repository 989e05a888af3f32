"""Producers of the state machine: they submit, flush, seal and cancel."""

from __future__ import annotations

from typing import Any

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    BatchHeader,
    Bounds,
    Buffer,
    BufferedCall,
    CallEntry,
    DeclaredLimit,
)
from penstock_plugins.errors import OverloadedError
from tests.integration.ledger_model.limits_model import Limits
from tests.integration.ledger_model.parts import RING_AFTER_MS, Item, Job, Ref
from tests.integration.ledger_model.running_model import Granted, RunningModel
from tests.integration.ledger_model.virtual_time import VirtualLedger

#: What calls may differ in and are never mixed for.
KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"tenant": "u"},
    {"tool": "web.post"},
    {"digest": "e" * 64},
    {"timeout_s": 1.0},
    {"queue": "penstock.bulk"},
    {"once": True},
)
SHAPES = (
    {"max_size": 1},
    {"key": "k", "max_size": 2},
    {"key": "k", "max_size": 3, "max_wait_ms": 200},
    {"key": "k", "max_size": 3, "max_wait_ms": 200},
    {"key": "l", "max_size": 4, "max_bytes": 40, "max_wait_ms": 5000},
    {"key": "l", "max_size": 8, "max_wait_ms": 7_000_000},
)
LIMITED_BY: tuple[tuple[str, ...], ...] = ((), ("api",), ("api",), ("site",), ("api", "site"))
picks = st.integers(0, 1 << 16)
#: Most calls have everything in common, or they would seldom meet.
kinds = st.sampled_from([0] * 8 + list(range(1, len(KINDS))))


def params(pick: int, index: int) -> str:
    """Params of one call, short or long."""
    return f'{{"n":{index},"x":"{"y" * (pick % 4 * 5)}"}}'


class Producers(RuleBasedStateMachine):
    """What producers do, and what all the rest stands on."""

    server_url = ""

    @initialize(
        slots=st.integers(1, 2),
        rate=st.sampled_from([0.001, 0.5, 20.0]),
        burst=st.sampled_from([None, 1, 4]),
        begun=st.integers(0, 2),
        bounds=st.sampled_from([Bounds(), Bounds(), Bounds(key_calls=4, calls=9, size_bytes=400)]),
    )
    def begin(self, slots: int, rate: float, burst: int | None, begun: int, bounds: Bounds) -> None:
        """An empty Redis, two limits that tools declare, and perhaps some calls that wait for one of them."""
        self.redis = redis.Redis.from_url(self.server_url)
        self.redis.flushall()
        self.ledger = VirtualLedger(self.redis, Keys(), bounds)
        self.declared = {
            "api": DeclaredLimit(key="api", concurrency=slots),
            "site": DeclaredLimit(key="site", concurrency=3, rate_per_s=rate, burst=burst),
        }
        self.model = RunningModel(Limits(self.declared.values()), bounds)
        #: Every batch that anybody has heard of, and everything that workers were given.
        self.heard: list[str] = []
        self.given: list[Granted] = []
        self.dead: set[str] = set()
        self.names = 0
        self.params: dict[Ref, str] = {}
        for number in range(begun):
            self._enqueue(3 * number + 1, 0, 3, True, {"key": "k", "max_size": 2}, ("api",), None, None)

    def _header(self, job_id: str, kind: int) -> BatchHeader:
        given: dict[str, Any] = {
            "tool": "web.fetch",
            "digest": "d" * 64,
            "tenant": "t",
            "queue": "penstock.default",
            "once": False,
            **KINDS[kind],
        }
        return BatchHeader(job=job_id, expires_ms=10**15, **given)

    def _job_for(self, pick: int, kind: int, sealed: bool) -> tuple[BatchHeader, int, int | None]:
        """A job that goes on, or a new one: its header, where it goes on, its total if it is known."""
        going_on = [job for job in self.model.jobs.values() if job.total is None]
        if going_on and pick % 3 == 0:
            job = going_on[pick % len(going_on)]
            return job.header, job.accepted, None
        return self._header(f"j{len(self.model.jobs)}", kind), 0, 1 if sealed else None

    @rule(
        pick=picks, kind=kinds, count=st.integers(1, 4), sealed=st.booleans(),
        shape=st.sampled_from(SHAPES), limited=st.sampled_from(LIMITED_BY),
        delay=st.sampled_from([None] * 6 + [50, 5000, 7_000_000]),
        deadline=st.sampled_from([None] * 5 + [300, 20_000]),
        at_once=st.sampled_from([False] * 4 + [True]),
    )  # fmt: skip
    def accept(
        self,
        pick: int,
        kind: int,
        count: int,
        sealed: bool,
        shape: dict[str, Any],
        limited: tuple[str, ...],
        delay: int | None,
        deadline: int | None,
        at_once: bool,
    ) -> None:
        """Calls that leave at once, or wait: for others of their key, for a limit, for their time."""
        if at_once:
            self._submit(pick, kind, count, sealed, deadline)
        else:
            self._enqueue(pick, kind, count, sealed, shape, limited, delay, deadline)

    @precondition(lambda self: self.model.jobs)
    @rule(what=st.sampled_from(["flush", "flush", "seal", "cancel"]), pick=picks)
    def tell(self, what: str, pick: int) -> None:
        """What producers say beside: what waits leaves now, a map's input ends, a job is cancelled."""
        if what == "flush":
            self._flush(pick)
        elif what == "seal":
            self._seal(pick)
        else:
            self._cancel(pick)

    def _submit(self, pick: int, kind: int, count: int, sealed: bool, deadline: int | None) -> None:
        """Calls that leave at once, unless the operator limits them."""
        header, base, known = self._job_for(pick, kind, sealed)
        total = known and count
        entries = [CallEntry(base + k, params(pick, k)) for k in range(count)]
        sizes = [("", len(entry.params)) for entry in entries]
        t = self.ledger.now_ms
        final = base > 0 and self.model.jobs[header.job].final
        try:
            answer = self.ledger.submit(
                header,
                entries,
                base=base,
                total=total,
                deadline_s=None if deadline is None else deadline / 1000,
                ring_after_s=RING_AFTER_MS / 1000,
            )
        except OverloadedError:
            assert self.model.overloaded(sizes)
            return
        limited = bool(self.model.limits.standing((), header.tool, header.tenant))
        assert (answer.accepted, answer.limited) == (not final and not limited, not final and limited)
        assert final or not self.model.overloaded(sizes)
        if answer.accepted:
            self.model.accept(header, count, total, None if deadline is None else t + deadline)
            self.model.submit(header, count, sum(size for _, size in sizes), t)
            self.heard.append(f"{header.job}.{base}")
            self.params |= {Ref(header.job, entry.index): entry.params for entry in entries}

    def _enqueue(
        self,
        pick: int,
        kind: int,
        count: int,
        sealed: bool,
        shape: dict[str, Any],
        limited: tuple[str, ...],
        delay: int | None,
        deadline: int | None,
    ) -> None:
        """Calls that wait: for others of their key, for a limit, for their time."""
        header, base, known = self._job_for(pick, kind, sealed)
        total = known and count
        buffer = Buffer(limits=tuple(self.declared[key] for key in limited), **shape)
        calls = [BufferedCall(CallEntry(base + k, params(pick, k))) for k in range(count)]
        sizes = [(buffer.name(header), len(one.call.params)) for one in calls]
        t = self.ledger.now_ms
        final = base > 0 and self.model.jobs[header.job].final
        try:
            answer = self.ledger.enqueue(
                header,
                calls,
                [buffer],
                base=base,
                total=total,
                deadline_s=None if deadline is None else deadline / 1000,
                delay_s=None if delay is None else delay / 1000,
            )
        except OverloadedError:
            assert self.model.overloaded(sizes)
            return
        assert answer.accepted == (not final)
        assert final or not self.model.overloaded(sizes)
        if answer.accepted:
            self.model.accept(header, count, total, None if deadline is None else t + deadline)
            for one in calls:
                item = Item(Ref(header.job, one.call.index), len(one.call.params), t, 0)
                self.model.enqueue(header, buffer, item, delay, base)
                self.params[item.ref] = one.call.params

    def _flush(self, pick: int) -> None:
        waiting = [line for line in self.model.lines.values() if not line.name.startswith("~")]
        if waiting:
            line = waiting[pick % len(waiting)]
            key, header = line.shape.key, line.header
            told = self.ledger.flush(tenant=header.tenant, tool=header.tool, key=key)
            assert told == self.model.flush(header, key)

    def _job(self, pick: int) -> Job:
        return list(self.model.jobs.values())[pick % len(self.model.jobs)]

    def _seal(self, pick: int) -> None:
        """A map's input ends."""
        job = self._job(pick)
        state = self.ledger.seal(job.id)
        self.model.seal(job)
        assert state.value == job.state

    def _cancel(self, pick: int) -> None:
        """A job is ended, wherever its calls are."""
        job = self._job(pick)
        assert self.ledger.cancel(job.id) == (not job.final)
        if not job.final:
            job.state = "cancelled"
