"""What the queue costs in CPU: the ledger's steps one by one, and a worker's share of a whole call."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.bare_executor import text_slug
from benchmarks.case import Bars, Case, Figures, Goal
from benchmarks.contenders import WAIT_S
from benchmarks.measuring import cpu_s, tree
from benchmarks.scaling import sleeping_worker
from benchmarks.system import System, penstock_system
from penstock import Producer
from penstock_broker_config.ledger import (
    BatchHeader,
    CallEntry,
    ClaimState,
    ClaimTerms,
    Commit,
    Ledger,
    RecordKind,
)
from penstock_broker_config.store import connect_store
from penstock_plugins.result import to_record

CHUNKS = (1, 32, 512)
STEPS = ("submit", "claim", "commit")
_PARAMS = '{"text":"Hello World 12345"}'
_RECORD = to_record(content=b'{"slug":"hello-world-12345"}', error=None, metadata={"execution_ms": 0.1})
_LEASE_S = 60.0


def ledger(calls: int) -> Figures:
    """CPU of a client and of Redis for each step of the ledger, per call, by the size of chunks.

    Chunks of 1 are measured with a tenth of the calls: they cost the more.
    """
    figures: Figures = {}
    with penstock_system(processes=0, scheduler=False, plugins=()) as system:
        for chunk in CHUNKS:
            batches = max(5, (calls if chunk > 1 else calls // 10) // chunk)
            for step, (client_us, redis_us) in _ledger_costs(system, chunk, batches).items():
                figures[f"chunk {chunk}, {step}: client, µs"] = client_us
                figures[f"chunk {chunk}, {step}: Redis, µs"] = redis_us
            for side in ("client", "Redis"):
                total_us = sum(figures[f"chunk {chunk}, {step}: {side}, µs"] for step in STEPS)
                figures[f"chunk {chunk}, all three: {side}, µs"] = total_us
    return figures


def queue_share(calls: int) -> Figures:
    """CPU of a worker, parent and pool process, per small call of a `map`; what of it is the queue's.

    Three ways: less the CPU that the same executions take in a process of their own, less the time that the
    executor measured (which on a busy machine is more than it used), and with an executor that does nothing.
    """
    figures: Figures = {}
    with penstock_system(processes=0) as system:
        with system.worker(processes=1):
            worker_us, executed_us = _worker_us(system, "worker", calls)
        alone_us = _alone_us(system, calls)
        figures["worker's CPU, µs"] = worker_us
        figures["the same executions' CPU in a process of their own, µs"] = alone_us
        figures["the executions' time by the executor's clock, µs"] = executed_us
        figures["the queue's share, less the CPU of executions, µs"] = worker_us - alone_us
        figures["the queue's share, less the time of executions, µs"] = worker_us - executed_us
        with sleeping_worker(system, processes=1, sleep_s=0):
            figures["the queue's share, where nothing is executed, µs"], _ = _worker_us(
                system, "sleeping", calls
            )
    return figures


def _ledger_costs(system: System, chunk: int, batches: int) -> dict[str, tuple[float, float]]:
    """Microseconds of CPU per call, of this process and of Redis, for each step."""
    settings = system.settings
    costs = {}
    with connect_store(settings) as client:
        ledger = Ledger(client, settings.keys, settings.retention)
        header = BatchHeader(
            job=f"bench{chunk}-{batches}",
            tool="text.slug",
            digest="0" * 64,
            tenant="default",
            queue="penstock.default",
            once=False,
            expires_ms=int(time.time() * 1000) + 86_400_000,
        )
        fences: list[int] = []

        def submit(batch: int) -> None:
            base = batch * chunk
            ledger.submit(header, [CallEntry(base + k, _PARAMS) for k in range(chunk)], base=base)

        def claim(batch: int) -> None:
            terms = ClaimTerms(holder=f"bench#{batch}", lease_s=_LEASE_S, max_attempts=3)
            claimed = ledger.claim(f"{header.job}.{batch * chunk}", terms)
            if claimed.state is not ClaimState.GRANTED:
                raise RuntimeError(f"a claim was answered {claimed.state}")
            fences.append(claimed.fence)

        def commit(batch: int) -> None:
            answer = ledger.commit(
                f"{header.job}.{batch * chunk}",
                [(RecordKind.SUCCESS, _RECORD)] * chunk,
                fence=fences[batch],
                position=0,
                lease_s=_LEASE_S,
            )
            if answer is not Commit.FINISHED:
                raise RuntimeError(f"a commit was answered {answer}")

        for name, step in zip(STEPS, (submit, claim, commit), strict=True):
            client_s, redis_s = _cpu_of(system, step, batches)
            costs[name] = client_s / (batches * chunk) * 1e6, redis_s / (batches * chunk) * 1e6
    return costs


def _cpu_of(system: System, step: Callable[[int], None], batches: int) -> tuple[float, float]:
    redis_before, before = system.redis_cpu_s(), time.process_time()
    for batch in range(batches):
        step(batch)
    client_s = time.process_time() - before
    return client_s, system.redis_cpu_s() - redis_before


def _worker_us(system: System, name: str, calls: int) -> tuple[float, float]:
    """Per call: CPU of the worker, and what its results say that the execution took."""
    with system.producer() as producer:
        _execution_s(producer, 3_000)  # so that chunks have their full size
        processes = tree(system.pid(name))
        before_s = cpu_s(processes)
        executed_s = _execution_s(producer, calls)
        used_s = cpu_s(processes) - before_s
    return used_s / calls * 1e6, executed_s / calls * 1e6


def _alone_us(system: System, calls: int) -> float:
    """Microseconds of CPU of one execution with no queue around it."""
    with text_slug(system) as slug:
        texts = [f"Hello World {n}" for n in range(calls)]
        slug("warm up")
        before = time.process_time()
        for text in texts:
            slug(text)
        return (time.process_time() - before) / calls * 1e6


def _execution_s(producer: Producer, calls: int) -> float:
    job = producer.map("text.slug", ({"text": f"Hello World {n}"} for n in range(calls)))
    took_ms = 0.0
    for result in job.results(WAIT_S):
        result.unwrap()
        took_ms += result.metadata.execution_ms
    return took_ms / 1000


CASES = {
    "ledger": Case(
        run=ledger,
        full=20_000,
        quick=2_000,
        charts=(
            Bars(
                title="The ledger's CPU for each call: submit, claim and commit",
                unit="µs",
                bars={
                    f"chunks of {chunk}, {side}": f"chunk {chunk}, all three: {side}, µs"
                    for chunk in CHUNKS
                    for side in ("client", "Redis")
                },
            ),
        ),
    ),
    "queue_share": Case(
        run=queue_share,
        full=50_000,
        quick=5_000,
        goals=(
            Goal(
                part=2,
                text="the queue's share at chunk 512: at most 35 µs of worker CPU for each call",
                figure="the queue's share, less the CPU of executions, µs",
                at_most=35,
            ),
        ),
        charts=(
            Bars(
                title="A worker's CPU for each small call, chunks of 512",
                unit="µs",
                bars={
                    "all of it": "worker's CPU, µs",
                    "executions, by themselves": "the same executions' CPU in a process of their own, µs",
                    "where nothing is executed": "the queue's share, where nothing is executed, µs",
                },
            ),
        ),
    ),
}
