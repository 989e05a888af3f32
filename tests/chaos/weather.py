"""A storm over a cast, from its plan until every job has ended; what happened goes into the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from penstock_broker_config.keys import Keys
from tests.chaos.cast import Cast
from tests.chaos.feed import known_jobs
from tests.chaos.network import missing_network
from tests.chaos.storm import Storm, plan_storm
from tests.chaos.verdict import Verdict

#: Seconds in which everything has ended after the last fault.
DRAINED_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What kind of storm."""

    #: Decides what goes wrong when.
    seed: int
    #: Its length.
    seconds: float
    #: 2 is twice as many faults in a minute.
    intensity: float = 1.0


def rage_over(
    on_stage: Cast, verdict: Verdict, weather: Weather, *, singles: int, say: Callable[[str], None]
) -> tuple[Storm, float]:
    """Let the storm rage, and wait until all that was submitted has ended.

    Args:
        on_stage: who suffers it.
        verdict: is told what happened, and whether all ended in time.
        weather: the storm.
        singles: jobs of one call, beside the map.
        say: is told what comes.

    Returns:
        The storm, and when its last fault was over, by the monotonic clock.
    """
    faults = plan_storm(
        weather.seed,
        seconds=weather.seconds,
        workers=on_stage.workers,
        schedulers=on_stage.schedulers,
        apart=list(on_stage.namespaces),
        intensity=weather.intensity,
    )
    say(f"seed {weather.seed}: {len(faults)} faults in {weather.seconds:g} s")
    if (missing := missing_network()) is not None:
        say(f"no partitions: {missing}")
    storm = Storm(on_stage)
    last = storm.rage(faults)
    drained = _wait_for_the_end(on_stage, singles, last)
    verdict.figures |= {"seed": weather.seed, "storm, s": weather.seconds}
    verdict.figures |= {"faults": dict(sorted(storm.done.items())), "drained, s": drained}
    verdict.expect(drained is not None, f"not drained {DRAINED_WITHIN_S:g} s after the last fault")
    return storm, last


def _wait_for_the_end(on_stage: Cast, singles: int, last: float) -> float | None:
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
