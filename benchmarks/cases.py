"""The cases of part 1: throughput, round trip, loading, cancelling, memory. Each returns figures by name."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import psutil

from benchmarks.plain_celery import make_app
from benchmarks.system import System, penstock_system, plain_celery
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.store import connect_store
from penstock_workers.artifacts.local import LocalArtifacts
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.cache import WarmCache

Figures = dict[str, float]

#: Rounds in which both sides of a ratio take turns; the median is quoted.
ROUNDS = 3


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(list(values))


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def throughput(calls: int) -> Figures:
    """`map` of small calls with one pool process against Celery with one task per call, in turns."""
    ours, theirs = [], []
    with penstock_system() as system, plain_celery(system):
        _warm_up(system)
        for _ in range(ROUNDS):
            ours.append(_map_rate(system, calls))
            theirs.append(_celery_rate(system, max(500, calls // 10)))
    return {
        "penstock map, calls/s": median(ours),
        "celery task per call, calls/s": median(theirs),
        "ratio": median(a / b for a, b in zip(ours, theirs, strict=True)),
    }


def round_trip(turns: int) -> Figures:
    """`submit().result()` against a bare `delay().get()`, call by call in turns."""
    ours, theirs = [], []
    with penstock_system() as system, plain_celery(system), system.producer() as producer:
        slug = _celery_task(system)
        _warm_up(system)
        for _ in range(turns):
            ours.append(_timed(lambda: producer.submit("text.slug", {"text": "Hello World"}).result(30)))
            theirs.append(_timed(lambda: slug.delay("Hello World").get(timeout=30)))
    return {
        "penstock, ms": median(ours) * 1000,
        "penstock p99, ms": percentile(ours, 0.99) * 1000,
        "celery, ms": median(theirs) * 1000,
        "celery p99, ms": percentile(theirs, 0.99) * 1000,
        "ratio": median(ours) / median(theirs),
    }


def warm_load(turns: int) -> Figures:
    """From native code on this host's disk to a linked plugin, in process."""
    with penstock_system() as system:
        catalog = RedisCatalog(connect_store(system.settings), system.settings.keys)
        digest = next(r.digest for r in catalog.records() if r.name == "text")
        took = []
        for _ in range(turns + 1):
            source = LocalArtifacts(catalog, ArtifactStore(system.folder / "cache" / "artifacts"))
            cache = WarmCache(source)
            took.append(_timed(lambda cache=cache: cache.get(digest)) * 1000)  # type: ignore[misc]
            if cache.counters.compiles:
                raise RuntimeError("it was compiled, and not loaded")
            source.close()
    return {"text, ms": median(took[1:]), "text p99, ms": percentile(took[1:], 0.99)}


def cancel(turns: int) -> Figures:
    """From CANCEL's commit, by Redis's clock, to the log line of the worker whose guest has trapped."""
    took = []
    with penstock_system() as system, system.producer() as producer:
        for _ in range(turns):
            job = producer.submit("hostile.loop", {}, timeout_s=1.0)
            while job.state != "running":
                time.sleep(0.002)
            time.sleep(0.02)
            job.cancel()
            committed_ms = job.record().finished_ms or 0
            took.append(_stopped_at_ms(system, job.id) - committed_ms)
    return {"median, ms": median(took), "p99, ms": percentile(took, 0.99), "worst, ms": max(took)}


def memory(calls: int) -> Figures:
    """Resident memory of producer, scheduler and worker over a long `map` whose results are read."""
    samples: dict[str, list[float]] = {"producer": [], "scheduler": [], "worker": []}
    with penstock_system() as system, system.producer() as producer:
        _warm_up(system)
        started = time.perf_counter()
        job = producer.map("text.slug", ({"text": f"Hello World {n}"} for n in range(calls)))
        seen = 0
        for result in job.results():
            seen += result.success
            if seen % (calls // 20) == 0:
                samples["producer"].append(psutil.Process(os.getpid()).memory_info().rss / 1e6)
                for name in ("scheduler", "worker"):
                    samples[name].append(system.resident_bytes(name) / 1e6)
        elapsed = time.perf_counter() - started
    if seen != calls:
        raise RuntimeError(f"{calls - seen} calls failed")
    figures: Figures = {"calls/s, results read": calls / elapsed}
    for name, values in samples.items():
        # The first fifth fills caches and pools.
        figures[f"{name}, MB"] = values[-1]
        figures[f"{name}, drift %"] = (values[-1] / values[len(values) // 5] - 1) * 100
    return figures


#: By name: the case, and how much of it in a full and in a quick run.
CASES: dict[str, tuple[Callable[[int], Figures], int, int]] = {
    "throughput": (throughput, 20_000, 2_000),
    "round_trip": (round_trip, 300, 50),
    "warm_load": (warm_load, 30, 5),
    "cancel": (cancel, 200, 10),
    "memory": (memory, 200_000, 10_000),
}


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _warm_up(system: System) -> None:
    with system.producer() as producer:
        producer.map("text.slug", ({"text": "warm up"} for _ in range(600))).result(60)


def _map_rate(system: System, calls: int) -> float:
    with system.producer() as producer:
        started = time.perf_counter()
        job = producer.map("text.slug", ({"text": f"Hello World {n}"} for n in range(calls)))
        done = sum(result.success for result in job.results(300))
        elapsed = time.perf_counter() - started
    if done != calls:
        raise RuntimeError(f"{calls - done} calls failed")
    return calls / elapsed


def _celery_rate(system: System, calls: int) -> float:
    slug = _celery_task(system)
    started = time.perf_counter()
    waiting = [slug.delay(f"Hello World {n}") for n in range(calls)]
    for result in waiting:
        result.get(timeout=120)
    return calls / (time.perf_counter() - started)


def _celery_task(system: System) -> Any:
    return make_app(system.environment["BENCH_CELERY_URL"]).tasks["plain.slug"]


def _stopped_at_ms(system: System, job_id: str) -> float:
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        for line in system.log("worker").splitlines():
            if f'"{job_id}.0"' in line and "call_stopped" in line:
                return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() * 1000
        time.sleep(0.02)
    raise RuntimeError(f"the worker did not say that it stopped {job_id}")
