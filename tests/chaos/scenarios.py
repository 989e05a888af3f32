"""Chaos runs from their first process to their verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.chaos.cast import BrokerName, cast
from tests.chaos.feed import kind_of
from tests.chaos.network import missing_network
from tests.chaos.verdict import (
    OVERLAP_S,
    Verdict,
    judge_doorbells,
    judge_executions,
    judge_limits,
    judge_recovery,
    judge_results,
)
from tests.chaos.weather import Weather, rage_over

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
    verdict = Verdict(figures={"broker": broker})
    mapped = calls // 4
    singles = calls - mapped
    pace_s = max(0.0, seconds / singles - 0.003) * 0.7
    feed = (str(singles), str(mapped), f"{pace_s:.4f}")
    with cast(
        folder, broker=broker, processes=processes, networks=missing_network() is None, feed=feed
    ) as on_stage:
        storm, last = rage_over(
            on_stage,
            verdict,
            Weather(seed=seed, seconds=seconds, intensity=intensity),
            singles=singles,
            say=lambda line: say(f"{broker}, {calls} calls; {line}"),
        )
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
