"""Runs under whatever happens to them: every item ends once, and nothing is left that should not be."""

from __future__ import annotations

import itertools
from typing import Any, cast

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Advance,
    ClaimState,
    DispatchTerms,
    FlowClaim,
    FlowState,
    InnerOf,
    Leave,
    Ledger,
    Overdue,
    ReapTerms,
    inner_job,
)
from tests.support.flow_values import begun, done, members, pending, records, step
from tests.support.ledger_values import GOOD, calls, header, terms

#: Stages of a run's own flows: a call, a fan-out (gathered at 2), one more, and the end.
LAST, MEMBER_LAST = "3", "1"


def test_B4_runs_under_whatever_happens(redis_server: Any) -> None:
    """Lost holders, doubled and late messages, cancels, deadlines: at the end each item has ended once."""

    class Machine(Runs):
        url = redis_server.url

    Machine.TestCase.settings = settings(
        max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    Machine.TestCase("runTest").runTest()


class Runs(RuleBasedStateMachine):
    """Two runs, workers that come and go, and schedulers."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.client = redis.Redis.from_url(self.url)
        self.client.flushall()
        self.ledger = Ledger(self.client, Keys())
        self.names = (f"w{n}:1:1#1" for n in itertools.count())
        #: What was ever sent: it may come again, at any time.
        self.messages: list[tuple[str, str]] = []
        #: Who believes to hold what.
        self.held: list[tuple[str, str, FlowClaim]] = []
        self.inner: set[str] = set()
        #: Of each flow, the fence that was handed out last; and who advanced it from where.
        self.fences: dict[str, int] = {}
        self.advanced: set[tuple[str, str, int]] = set()
        self.accepted = {"r": 0, "s": 0}

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            self.client.close()

    @initialize()
    def begin_both(self) -> None:
        for run in self.accepted:
            self.begin_more(run)

    @precondition(lambda self: max(self.accepted.values()) < 6)
    @rule(run=st.sampled_from(["r", "s"]), count=st.integers(1, 3))
    def begin_more(self, run: str, count: int = 2) -> None:
        base = self.accepted[run]
        if self.client.exists(f"penstock:j:{run}") and self.ledger.job(run).state.final:
            return
        if begun(self.ledger, run, count, base=base, total=None).accepted:
            self.accepted[run] += count
            self.messages.append((f"{run}/{base}", "0"))

    @precondition(lambda self: self.messages)
    @rule(choice=st.integers(0, 99))
    def hear(self, choice: int) -> None:
        flow, stage = self.messages[choice % len(self.messages)]
        claim = self.ledger.enter(flow, stage, terms(next(self.names)))
        if claim.state is FlowState.GRANTED:
            self.fences[flow] = claim.fence
            self.held.append((flow, stage, claim))

    @precondition(lambda self: self.held)
    @rule(choice=st.integers(0, 9), goes=st.booleans())
    def work(self, choice: int, goes: bool) -> None:
        flow, stage, claim = self.held[choice % len(self.held)]
        of = InnerOf(flow, stage, claim.fence)
        if stage == "0" and not goes:
            job = inner_job(flow, stage)
            if self.ledger.submit(header(job), calls(0, 1), base=0, total=1, inner_of=of).accepted:
                self.inner.add(job)
            if self.ledger.leave(of, waits=True) is Leave.LEFT:
                self.fences[flow] = 0
            return
        self.go_on(flow, stage, claim)

    def go_on(self, flow: str, stage: str, claim: FlowClaim) -> None:
        top = not claim.parent
        ended = claim.ended
        left = [k for k in range(claim.count) if k not in ended]
        result = done(flow, stage, claim, counters={"x|in": 1})
        if stage == "1" and top:
            if self.ledger.plant(InnerOf(flow, stage, claim.fence), members(2)) is not Advance.OK:
                return
            answer = self.ledger.fan(result, step("2"), members=2)
            sent = [(f"{flow}/1.{k}", "0") for k in range(2)]
        elif stage == (LAST if top else MEMBER_LAST):
            result = done(flow, stage, claim, records=records(left) if top else ())
            answer = self.ledger.advance(result, None)
            sent = [(answer.parent, answer.parent_step.stage)] if answer.last and answer.parent_step else []
        else:
            if top and len(left) > 1:
                result = done(flow, stage, claim, records=records(left[:1], failed=left[:1]))
            following = str(int(stage) + 1)
            answer = self.ledger.advance(result, step(following))
            sent = [(flow, following)]
        if answer.state is Advance.OK:
            this = (flow, stage, claim.fence)
            assert this in self.advanced or self.fences[flow] == claim.fence
            self.advanced.add(this)
            self.messages += sent

    @precondition(lambda self: self.inner)
    @rule(choice=st.integers(0, 9))
    def run_inner(self, choice: int) -> None:
        job = sorted(self.inner)[choice % len(self.inner)]
        claim = self.ledger.claim(f"{job}.0", terms(next(self.names)))
        if claim.state is ClaimState.GRANTED:
            self.ledger.commit(f"{job}.0", [GOOD], fence=claim.fence, position=0, lease_s=30)

    @precondition(lambda self: self.held)
    @rule(choice=st.integers(0, 9))
    def lose(self, choice: int) -> None:
        flow, _, _ = self.held.pop(choice % len(self.held))
        if self.client.exists(f"penstock:f:{flow}"):
            self.client.hset(f"penstock:f:{flow}", "l", 0)
            self.client.zadd("penstock:open", {f">{flow}": 0}, xx=True)

    @rule()
    def schedule(self) -> None:
        self.heard(self.ledger.reap(ReapTerms(backoff_s=0)))
        self.heard(self.ledger.dispatch(DispatchTerms()).batches)

    def heard(self, rings: list[Overdue]) -> None:
        self.messages += [(ring.flow, ring.stage) for ring in rings if ring.stage]

    @rule(choice=st.integers(0, 19))
    def cancel(self, choice: int) -> None:
        if choice == 0 and not self.ledger.job("s").state.final:
            self.ledger.cancel("s")

    @rule(choice=st.integers(0, 19))
    def expire(self, choice: int) -> None:
        if choice == 0 and not self.ledger.job("s").state.final:
            self.client.hset("penstock:j:s", "deadline", 1)
            self.look_at_all()

    def look_at_all(self) -> None:
        for name in cast("list[bytes]", self.client.zrange("penstock:open", 0, -1)):
            self.client.zadd("penstock:open", {name: 0})
        for name in cast("list[bytes]", self.client.keys("penstock:f:*")):
            self.client.hset(name, "l", 0)

    @invariant()
    def counts_agree(self) -> None:
        for run in self.accepted:
            if self.client.exists(f"penstock:j:{run}"):
                job = self.ledger.job(run)
                assert job.done + job.failed + job.expired <= job.accepted == self.accepted[run]
        flows = self.client.keys("penstock:f:*")
        counted = sum(int(cast("bytes", self.client.hget(name, "pc"))) for name in cast("list[bytes]", flows))
        batches = len(cast("list[bytes]", self.client.keys("penstock:b:*")))
        assert pending(self.ledger)[0] == counted + batches

    def finish(self) -> None:
        """Whatever has happened, workers that do their work bring all of it to its end."""
        for run in self.accepted:
            if self.client.exists(f"penstock:j:{run}"):
                self.ledger.seal(run)
        for _ in range(40):
            self.look_at_all()
            self.schedule()
            for flow, stage in dict.fromkeys(self.messages):
                claim = self.ledger.enter(flow, stage, terms(next(self.names)))
                if claim.state is FlowState.GRANTED:
                    self.fences[flow] = claim.fence
                    self.go_on(flow, stage, claim)
            for choice in range(len(self.inner)):
                self.run_inner(choice)
            if not self.client.zcard("penstock:open"):
                break
        self.nothing_is_left()

    def nothing_is_left(self) -> None:
        for run, accepted in self.accepted.items():
            job = self.ledger.job(run)
            assert job.state.final
            seen = [i for entry in self.ledger.completions(run, count=1000)[1] for i in entry.indexes]
            assert len(seen) == len(set(seen)) == job.done + job.failed + job.expired
            if job.state.value != "cancelled":
                assert sorted(seen) == list(range(accepted))
        assert pending(self.ledger) == (0, 0)
        left = cast("list[bytes]", self.client.keys("penstock:[fb]:*"))
        left += cast("list[bytes]", self.client.keys("penstock:*/*"))
        assert left == []
        assert self.client.zcard("penstock:ready") == 0
