"""What goes wrong in a chaos run, and when: planned from a seed, then done to a cast."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

from tests.chaos.cast import Cast

What = Literal["kill", "kill pool process", "pause", "cut", "cut answers"]

#: Faults in a minute, by what is hit.
PER_MINUTE = {
    "kill worker": 8.0,
    "kill pool process": 3.0,
    "kill scheduler": 4.5,
    "kill producer": 1.0,
    "restart redis": 1.5,
    "pause worker": 1.5,
    "cut worker": 1.5,
    "cut scheduler": 0.4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    #: Seconds from the beginning.
    at_s: float
    what: What
    victim: str
    #: Seconds that a pause or a cut lasts.
    lasts_s: float = 0.0
    #: Tells several pool processes apart.
    number: int = 0


def plan_storm(
    seed: int,
    *,
    seconds: float,
    workers: Sequence[str],
    schedulers: Sequence[str],
    apart: Sequence[str],
    intensity: float = 1.0,
) -> list[Fault]:
    """The faults of a run, in their order; the same for the same arguments.

    Args:
        seed: decides everything.
        seconds: length of the storm.
        workers: their names.
        schedulers: their names.
        apart: who has a network that can be cut.
        intensity: 2 is twice as many faults in a minute.
    """
    dice = random.Random(seed)
    faults = []
    for kind, per_minute in PER_MINUTE.items():
        verb, _, who = kind.partition(" ")
        targets = {"worker": workers, "pool process": workers, "scheduler": schedulers}.get(who, [who])
        if verb == "cut":
            targets = [name for name in targets if name in apart]
        for _ in range(max(1, round(per_minute * intensity * seconds / 60))):
            what, at_s, lasts_s = _fault(dice, verb, who, seconds)
            if targets:
                victim = dice.choice(list(targets))
                faults.append(
                    Fault(at_s=at_s, what=what, victim=victim, lasts_s=lasts_s, number=dice.randrange(100))
                )
    return sorted(faults, key=lambda fault: fault.at_s)


def _fault(dice: random.Random, verb: str, who: str, seconds: float) -> tuple[What, float, float]:
    at_s = dice.uniform(0, seconds)
    if verb == "pause":
        return "pause", at_s, min(dice.uniform(1, 12), max(5.0, seconds / 4))
    if verb == "cut":
        what: What = dice.choice(["cut", "cut", "cut answers"])
        # From 2 s to 60 s, the short ones more often; in a short storm none outlasts it by much.
        return what, at_s, min(2 * 30 ** dice.random(), max(4.0, seconds / 4))
    return "kill pool process" if who == "pool process" else "kill", at_s, 0.0


@dataclass
class Storm:
    """A plan on its way."""

    cast: Cast
    #: How many faults of each kind hit something.
    done: Counter[str] = field(default_factory=Counter)
    #: Who was hurt from when to when, by what: by monotonic seconds.
    struck: list[tuple[str, float, float, str]] = field(default_factory=list)

    def rage(self, faults: Sequence[Fault]) -> float:
        """Do it all; returns the monotonic moment at which the last victim was well again.

        Each victim has its faults one after the other; different victims have theirs at the same time. Who
        ends by itself is started again.
        """
        begun = time.monotonic()
        running: dict[str, list[Future[None]]] = defaultdict(list)
        with ExitStack() as stack:
            lanes = {
                name: stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix=f"storm-{name}"))
                # Who is cut off can be killed as well.
                for name in (*self.cast.processes, *(_cable(name) for name in self.cast.namespaces))
            }
            for fault in faults:
                while (left_s := begun + fault.at_s - time.monotonic()) > 0:
                    time.sleep(min(left_s, 0.5))
                    self._revive_all(lanes, running)
                lane = _cable(fault.victim) if fault.what.startswith("cut") else fault.victim
                running[lane].append(lanes[lane].submit(self._strike, fault))
        for futures in running.values():
            for future in futures:
                future.result()
        for name in self.cast.processes:
            self.cast.revive(name)
        return time.monotonic()

    def _strike(self, fault: Fault) -> None:
        cast, victim = self.cast, fault.victim
        hit, begun = True, time.monotonic()
        match fault.what:
            case "kill":
                hit = cast.kill(victim)
            case "kill pool process":
                hit = cast.kill_pool_process(victim, fault.number)
            case "pause":
                hit = cast.pause(victim, fault.lasts_s)
            case "cut" | "cut answers":
                network = cast.namespaces[victim]
                network.cut("all" if fault.what == "cut" else "answers")
                time.sleep(fault.lasts_s)
                network.heal()
        if hit:
            self.done[f"{fault.what} {victim.rstrip('0123456789')}"] += 1
            self.struck.append((victim, begun, time.monotonic(), fault.what))

    def _revive_all(
        self, lanes: dict[str, ThreadPoolExecutor], running: dict[str, list[Future[None]]]
    ) -> None:
        for name in self.cast.processes:
            busy = any(not future.done() for future in running[name])
            if not busy and self.cast.missing(name):
                self.done[f"ended by itself {name.rstrip('0123456789')}"] += 1
                running[name].append(lanes[name].submit(self.cast.revive, name))


def _cable(name: str) -> str:
    return f"cable of {name}"
