"""Chaos runs from their first process to their verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import redis

from penstock_broker_config.keys import Keys
from tests.chaos.cast import BrokerName, Cast, cast
from tests.chaos.feed import kind_of, known_jobs
from tests.chaos.network import missing_network
from tests.chaos.storm import Storm, plan_storm
from tests.chaos.verdict import (
    OVERLAP_S,
    Verdict,
    judge_doorbells,
    judge_executions,
    judge_limits,
    judge_recovery,
    judge_results,
)

#: Seconds in which everything has ended after the last fault.
DRAINED_WITHIN_S = 120.0
#: Doorbells per batch on average.
DOORBELLS = 1.2


def everything(
    folder: Path,
    *,
    broker: BrokerName,
    seed: int,
    seconds: float,
    calls: int,
    intensity: float = 1.0,
    processes: int = 3,
    doorbells: float | None = DOORBELLS,
    overlap_s: float = OVERLAP_S,
    say: Callable[[str], None] = print,
) -> Verdict:
    """Producer, dispatchers, workers, Redis and networks fail at random, while calls of every kind run.

    Args:
        folder: for files and logs.
        broker: who carries the doorbells.
        seed: decides what goes wrong when.
        seconds: length of the storm.
        calls: how many; a quarter of them is one map.
        intensity: 2 is twice as many faults in a minute.
        processes: of each of the two workers.
        doorbells: per batch at most. None: whatever they are.
        overlap_s: for how long a worker that stood still may be beyond a limit.
        say: is told how it goes.
    """
    verdict = Verdict()
    missing = missing_network()
    mapped = calls // 4
    singles = calls - mapped
    pace_s = max(0.0, seconds / singles - 0.003) * 0.7
    feed = (str(singles), str(mapped), f"{pace_s:.4f}")
    with cast(folder, broker=broker, processes=processes, networks=missing is None, feed=feed) as on_stage:
        faults = plan_storm(
            seed,
            seconds=seconds,
            workers=on_stage.workers,
            schedulers=on_stage.schedulers,
            apart=list(on_stage.namespaces),
            intensity=intensity,
        )
        say(f"seed {seed}, {broker}: {len(faults)} faults in {seconds:g} s, {calls} calls")
        if missing is not None:
            say(f"no partitions: {missing}")
        storm = Storm(on_stage)
        last = storm.rage(faults)
        drained = wait_for_the_end(on_stage, singles, last)
        verdict.figures |= {"broker": broker, "seed": seed, "storm, s": seconds}
        verdict.figures |= {"faults": dict(sorted(storm.done.items())), "drained, s": drained}
        verdict.expect(drained is not None, f"not drained {DRAINED_WITHIN_S:g} s after the last fault")
        with on_stage.broker.redis.client() as client:
            judge_results(verdict, client, folder, singles=singles, mapped=mapped)
        judge_executions(verdict, on_stage.witness_file, singles=singles)
        judge_doorbells(verdict, on_stage.rings_file, most=doorbells)
        limited = [n for n in range(singles) if kind_of(n) == "limited"]
        judge_limits(
            verdict,
            on_stage.witness_file,
            on_stage.pauses,
            is_limited=set(limited).__contains__,
            overlap_s=overlap_s,
        )
        judge_recovery(verdict, on_stage.witness_file, storm.struck, until=last)
    return verdict


def wait_for_the_end(on_stage: Cast, singles: int, last: float) -> float | None:
    """Seconds from the last fault until every job had ended. None: too many."""
    keys = Keys()
    ended: set[str] = set()
    with on_stage.broker.redis.client() as client:
        while time.monotonic() < last + DRAINED_WITHIN_S:
            on_stage.revive("producer")
            if not on_stage.processes["producer"].running:
                jobs = {*known_jobs(on_stage.folder).values(), (on_stage.folder / "map").read_text()}
                ended |= _ended(client, keys, jobs - ended)
                if len(known_jobs(on_stage.folder)) == singles and jobs <= ended:
                    return round(time.monotonic() - last, 1)
            time.sleep(0.25)
    return None


def _ended(client: redis.Redis, keys: Keys, jobs: set[str]) -> set[str]:
    asked = sorted(jobs)
    with client.pipeline(transaction=False) as pipe:
        for job in asked:
            pipe.hget(keys.job(job), "finished")
        return {job for job, finished in zip(asked, pipe.execute(), strict=True) if finished}
