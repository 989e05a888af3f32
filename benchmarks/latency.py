"""How long one thing takes: a call there and back, loading a plugin, stopping a call."""

from __future__ import annotations

import json
import time
from datetime import datetime

from benchmarks.case import Bars, Case, Figures, Goal
from benchmarks.contenders import Celery, Penstock, peers
from benchmarks.measuring import median, percentile, timed
from benchmarks.system import System, penstock_system
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.store import connect_store
from penstock_workers.artifacts.local import LocalArtifacts
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.cache import WarmCache

#: The plugins that come with Penstock, and what they are written in.
LANGUAGES = {"text": "C", "markdown": "JavaScript", "code": "Python"}


def round_trip(turns: int) -> Figures:
    """One call there and back: `submit().result()` and a bare `delay().get()` in turns; then the peers."""
    took: dict[str, list[float]] = {}
    ours, celery = Penstock(), Celery()
    with penstock_system(processes=0) as system:
        with (
            ours.worker(system, processes=1),
            celery.worker(system, processes=1),
            ours.client(system) as penstock,
            celery.client(system) as bare,
        ):
            penstock.run(200)
            bare.run(20)
            for _ in range(turns):
                took.setdefault(ours.name, []).append(timed(penstock.one) * 1000)
                took.setdefault(celery.name, []).append(timed(bare.one) * 1000)
        for peer in peers()[1:]:
            with peer.worker(system, processes=1), peer.client(system) as client:
                client.run(20)
                took[peer.name] = [timed(client.one) * 1000 for _ in range(turns)]
    figures: Figures = {}
    for name, found in took.items():
        figures[f"{name}, ms"] = median(found)
        figures[f"{name} p99, ms"] = percentile(found, 0.99)
    figures["times as long as Celery"] = median(took[ours.name]) / median(took[celery.name])
    return figures


def warm_load(turns: int) -> Figures:
    """From native code on this host's disk to a linked plugin, in process."""
    figures: Figures = {}
    with (
        penstock_system(processes=0, scheduler=False, plugins=tuple(LANGUAGES)) as system,
        connect_store(system.settings) as client,
    ):
        catalog = RedisCatalog(client, system.settings.keys)
        digests = {record.name: record.digest for record in catalog.records()}
        for name, language in LANGUAGES.items():
            _load_ms(system, catalog, digests[name])
            took = [_load_ms(system, catalog, digests[name], compiled=True) for _ in range(turns)]
            figures[f"{name} ({language}), ms"] = median(took)
            figures[f"{name} ({language}) p99, ms"] = percentile(took, 0.99)
    return figures


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


def _load_ms(system: System, catalog: RedisCatalog, digest: str, *, compiled: bool = False) -> float:
    source = LocalArtifacts(catalog, ArtifactStore(system.cache_dir / "artifacts"))
    cache = WarmCache(source)
    took_s = timed(lambda: cache.get(digest))
    if compiled and cache.counters.compiles:
        raise RuntimeError("it was compiled, and not loaded")
    source.close()
    return took_s * 1000


def _stopped_at_ms(system: System, job_id: str) -> float:
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        for line in system.log("worker").splitlines():
            if f'"{job_id}.0"' in line and "call_stopped" in line:
                return datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp() * 1000
        time.sleep(0.02)
    raise RuntimeError(f"the worker did not say that it stopped {job_id}")


def _goals_of_loading() -> tuple[Goal, ...]:
    longest_ms = {"text": 5, "markdown": 5, "code": 30}
    return (
        Goal(part=1, text="a plugin that is warm on disk loads in 5 ms", figure="text (C), ms", at_most=5),
        *(
            Goal(
                part=2,
                text=f"warm on disk, ready in {limit_ms} ms: {name} ({LANGUAGES[name]})",
                figure=f"{name} ({LANGUAGES[name]}), ms",
                at_most=limit_ms,
            )
            for name, limit_ms in longest_ms.items()
        ),
    )


CASES = {
    "round_trip": Case(
        run=round_trip,
        full=300,
        quick=50,
        goals=(
            Goal(
                part=1,
                text="`submit().result()`: at most 1.5 times a bare Celery round trip",
                figure="times as long as Celery",
                at_most=1.5,
            ),
            Goal(
                part=2,
                text="at most 1.3 times a bare Celery round trip",
                figure="times as long as Celery",
                at_most=1.3,
            ),
        ),
        charts=(
            Bars(
                title="One call there and back, median",
                unit="ms",
                bars={name: f"{name}, ms" for name in ("Penstock", "Celery", "Dramatiq", "taskiq")},
            ),
        ),
    ),
    "warm_load": Case(
        run=warm_load,
        full=30,
        quick=5,
        goals=_goals_of_loading(),
        charts=(
            Bars(
                title="Loading a plugin that is warm on disk, median",
                unit="ms",
                bars={language: f"{name} ({language}), ms" for name, language in LANGUAGES.items()},
            ),
        ),
    ),
    "cancel": Case(
        run=cancel,
        full=200,
        quick=10,
        goals=(
            Goal(
                part=1,
                text="a running guest stops within 50 ms of CANCEL (99th percentile)",
                figure="p99, ms",
                at_most=50,
            ),
        ),
        charts=(
            Bars(
                title="From CANCEL to the trap",
                unit="ms",
                bars={"median": "median, ms", "99th percentile": "p99, ms", "worst": "worst, ms"},
            ),
        ),
    ),
}
