"""A chaos run of pipelines, from its first process to its verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.chaos.cast import BrokerName, cast
from tests.chaos.network import missing_network
from tests.chaos.pipeline_verdict import judge_items, judge_remains
from tests.chaos.pipeline_work import is_limited
from tests.chaos.verdict import OVERLAP_S, Verdict, judge_limits, judge_recovery
from tests.chaos.weather import Weather, rage_over

#: Of so many items one is a run of its own.
_SINGLES = 25
#: Of the empty loop, for each execution: what an item waits for is rather the host.
_TURNS = 300_000


def pipelines(
    folder: Path,
    *,
    broker: BrokerName,
    seed: int,
    seconds: float,
    items: int,
    intensity: float = 1.0,
    processes: int = 3,
    overlap_s: float = OVERLAP_S,
    say: Callable[[str], None] = print,
) -> Verdict:
    """Producer, dispatchers, workers, Redis and networks fail at random, while items go through a pipeline.

    Args:
        folder: for files and logs.
        broker: who carries the doorbells.
        seed: decides what goes wrong when.
        seconds: length of the storm.
        items: how many; all but a few are one map.
        intensity: 2 is twice as many faults in a minute.
        processes: of each of the two workers.
        overlap_s: for how long a worker that stood still may be beyond a limit.
        say: is told how it goes.
    """
    verdict = Verdict(figures={"broker": broker})
    singles = items // _SINGLES
    mapped = items - singles
    with cast(
        folder,
        broker=broker,
        processes=processes,
        networks=missing_network() is None,
        turns=_TURNS,
        feeder="tests.chaos.pipeline_feed",
        feed=(str(singles), str(mapped), f"{seconds * 0.8:.1f}"),
    ) as on_stage:
        storm, last = rage_over(
            on_stage,
            verdict,
            Weather(seed=seed, seconds=seconds, intensity=intensity),
            singles=singles,
            say=lambda line: say(f"{broker}, {items} items; {line}"),
        )
        verdict.figures["kills"] = sum(n for fault, n in storm.done.items() if fault.startswith("kill"))
        with on_stage.broker.redis.client() as client:
            judge_items(verdict, client, folder, singles=singles, mapped=mapped)
            judge_remains(verdict, client)
        judge_limits(
            verdict,
            on_stage.witness_file,
            on_stage.pauses,
            is_limited=is_limited,
            of_step="limited",
            overlap_s=overlap_s,
        )
        judge_recovery(verdict, on_stage.witness_file, storm.struck, until=last)
    return verdict
