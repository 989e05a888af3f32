"""A chaos run of pipelines, from its first process to its verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.chaos.cast import BrokerName, cast
from tests.chaos.network import missing_network
from tests.chaos.pipeline_verdict import judge_items, judge_remains
from tests.chaos.pipeline_work import is_limited
from tests.chaos.scenarios import DRAINED_WITHIN_S, wait_for_the_end
from tests.chaos.storm import Storm, plan_storm
from tests.chaos.verdict import OVERLAP_S, Verdict, judge_limits, judge_recovery

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
    verdict = Verdict()
    missing = missing_network()
    singles = items // _SINGLES
    mapped = items - singles
    with cast(
        folder,
        broker=broker,
        processes=processes,
        networks=missing is None,
        turns=_TURNS,
        feeder="tests.chaos.pipeline_feed",
        feed=(str(singles), str(mapped), f"{seconds * 0.8:.1f}"),
    ) as on_stage:
        faults = plan_storm(
            seed,
            seconds=seconds,
            workers=on_stage.workers,
            schedulers=on_stage.schedulers,
            apart=list(on_stage.namespaces),
            intensity=intensity,
        )
        say(f"seed {seed}, {broker}: {len(faults)} faults in {seconds:g} s, {items} items")
        if missing is not None:
            say(f"no partitions: {missing}")
        storm = Storm(on_stage)
        last = storm.rage(faults)
        drained = wait_for_the_end(on_stage, singles, last)
        kills = sum(count for fault, count in storm.done.items() if fault.startswith("kill"))
        verdict.figures |= {"broker": broker, "seed": seed, "storm, s": seconds, "kills": kills}
        verdict.figures |= {"faults": dict(sorted(storm.done.items())), "drained, s": drained}
        verdict.expect(drained is not None, f"not drained {DRAINED_WITHIN_S:g} s after the last fault")
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
