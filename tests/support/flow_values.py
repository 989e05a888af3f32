"""Values that tests of runs and flows share, and a pipeline's way through the ledger in few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock_broker_config.ledger import (
    Advanced,
    FlowClaim,
    FlowState,
    FlowStep,
    InnerOf,
    ItemRecord,
    JobRecord,
    Ledger,
    Member,
    RunSpec,
    StageDone,
    Submitted,
    inner_job,
)
from tests.support.ledger_values import BAD, GOOD, calls, header, terms

QUEUE = "penstock.default"


def step(stage: str, label: str = "text.stats", queue: str = QUEUE) -> FlowStep:
    """A stage of the default queue."""
    return FlowStep(stage=stage, queue=queue, label=label)


def spec(run: str, **changes: Any) -> RunSpec:
    """A run with a plan."""
    given: dict[str, Any] = {
        "run": run,
        "pipeline": "both",
        "digest": "e" * 64,
        "bundles": ("d" * 64,),
        "tenant": "t",
        "queue": QUEUE,
        "plan": b"|{}",
        **changes,
    }
    return RunSpec(**given)


def begun(ledger: Ledger, run: str, count: int = 3, *, base: int = 0, **changes: Any) -> Submitted:
    """Items of a run, at stage 0."""
    given: dict[str, Any] = {"total": count, "size_bytes": 100 * count, "first": step("0"), **changes}
    return ledger.begin(spec(run), b"|items", base=base, count=count, **given)


def entered(ledger: Ledger, flow: str, stage: str, holder: str = "h:1:1#1", **changes: Any) -> FlowClaim:
    """A stage that must be granted."""
    wanted = {name: changes.pop(name) for name in ("traces", "calls") if name in changes}
    claim = ledger.enter(flow, stage, terms(holder, **changes), **wanted)
    assert claim.state is FlowState.GRANTED, claim
    return claim


def done(flow: str, stage: str, claim: FlowClaim, **changes: Any) -> StageDone:
    """What came of a stage."""
    given: dict[str, Any] = {"items": b"|after " + stage.encode(), **changes}
    return StageDone(flow=flow, stage=stage, fence=claim.fence, **given)


def passed(ledger: Ledger, flow: str, stage: str, following: str, **changes: Any) -> Advanced:
    """A stage that is entered and done."""
    return ledger.advance(done(flow, stage, entered(ledger, flow, stage), **changes), step(following))


def records(positions: Sequence[int], *, failed: Sequence[int] = ()) -> list[ItemRecord]:
    """Results of items."""
    return [ItemRecord(k, *(BAD if k in failed else GOOD)) for k in positions]


def ended(ledger: Ledger, flow: str, stage: str, count: int = 3, **changes: Any) -> Advanced:
    """A stage that is entered and with which all items end."""
    claim = entered(ledger, flow, stage)
    return ledger.advance(done(flow, stage, claim, records=records(range(count)), **changes), None)


def members(count: int, *, program: int = 1) -> list[Member]:
    """Members of a fan-out with an item each."""
    return [Member(program=program, items=1, state=b"|m%d" % k, first=step("0")) for k in range(count)]


def inner(ledger: Ledger, flow: str, stage: str, claim: FlowClaim, count: int = 2, **changes: Any) -> str:
    """An inner job that must be accepted; its id."""
    job = inner_job(flow, stage)
    submitted = ledger.submit(
        header(job),
        calls(0, count),
        base=0,
        total=count,
        inner_of=InnerOf(flow, stage, claim.fence),
        **changes,
    )
    assert submitted.accepted
    return job


def run_inner(ledger: Ledger, job: str, count: int = 2, holder: str = "i:1:1#1") -> None:
    """Run the batch of an inner job."""
    claim = ledger.claim(f"{job}.0", terms(holder))
    ledger.commit(f"{job}.0", [GOOD] * count, fence=claim.fence, position=0, lease_s=30)


def pending(ledger: Ledger) -> tuple[int, int]:
    """Calls and bytes that count as pending."""
    client: Any = ledger._redis
    found = client.hmget(ledger.keys.pending, "calls", "bytes")
    return int(found[0] or 0), int(found[1] or 0)


def job_or_none(ledger: Ledger, job: str) -> JobRecord | None:
    """A job, if it is there."""
    return ledger.job(job) if ledger._redis.exists(ledger.keys.job(job)) else None
