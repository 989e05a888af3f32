"""One call in this process, with no queue: the lean path against wasmtime's Python API and against C.

Every call has a fresh store and instance, limits, an epoch deadline, `init` and `call-tool`. CPU time, in
rounds that take turns; each ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from benchmarks.case import Bars, Case, Figures, Goal
from benchmarks.in_c import PHASES, program
from benchmarks.linked_subjects import SIZES, WAYS, Linked, Subject, subjects
from benchmarks.measuring import median
from penstock_workers.engine import METERED, PLAIN
from penstock_workers.guest import Guest, GuestPath, StoreLimits

ROUNDS = 7
#: CPU seconds of one side's turn; a slow call is made twice at least.
TURN_S = 0.1

_FUEL = 1 << 40
#: What a store takes for no limit.
_UNLIMITED = StoreLimits(-1, -1, -1, -1, -1)


def in_process(rounds: int) -> Figures:
    """One call in this process: store, limits, instance, `init`, `call-tool`; µs of CPU."""
    figures: Figures = {}
    for subject in subjects():
        calls = Linked(subject, PLAIN)
        for size in subject.sizes:
            params = subject.params(SIZES[size])
            sides = {way: calls.call(way, params) for way in WAYS}
            if program() is not None:
                sides["in C"] = calls.in_c("lean", params)
                sides["in C, no pool"] = calls.in_c("lean, no pool", params)
            _compare(figures, f"{subject.label} {size}", sides, rounds)
        if subject.label in {"echo", "text (C)"}:
            _with_and_without(figures, subject, calls, rounds)
            _by_phase(figures, subject, calls)
    return figures


def _with_and_without(figures: Figures, subject: Subject, plain: Linked, rounds: int) -> None:
    """What fuel and limits cost a small call."""
    params = subject.params(100)
    metered = Linked(subject, METERED)
    label = f"{subject.label} 100 B"
    for way in ("lean", "public API"):
        sides = {
            f"{way}, without limits": plain.call(way, params, limits=_UNLIMITED),
            f"{way}, with fuel": metered.call(way, params, fuel=_FUEL),
        }
        for name, spent in _take_turns(sides, rounds).items():
            figures[f"{label}, {name}, µs"] = median(spent)


def _by_phase(figures: Figures, subject: Subject, linked: Linked) -> None:
    """Where the time of a small call goes; by the wall clock, the median."""
    params = subject.params(100)
    for way in ("lean", "public API"):
        spent = _phases_us(linked.paths[way], linked.limits, subject.tool, params, turns=500)
        for phase, took_us in zip(PHASES, spent, strict=True):
            figures[f"{subject.label} 100 B, {way}: {phase}, µs"] = took_us
    if program() is not None:
        call = linked.c_side("lean", params)
        turns = [call.phases_us(1) for _ in range(500)]
        for k, phase in enumerate(PHASES):
            figures[f"{subject.label} 100 B, in C: {phase}, µs"] = median(turn[k] for turn in turns)


def _compare(figures: Figures, label: str, sides: Mapping[str, Callable[[int], object]], rounds: int) -> None:
    spent = _take_turns(sides, rounds)
    for side, took_us in spent.items():
        figures[f"{label}, {side}, µs"] = median(took_us)
    for ours, theirs in (("lean", "public API"), ("lean, no pool", "public API")):
        times = median(b / a for a, b in zip(spent[ours], spent[theirs], strict=True))
        figures[f"{label}, {ours}: times as fast as the public API"] = times
    for ours, theirs in (("lean", "in C"), ("lean, no pool", "in C, no pool")):
        if theirs in spent:
            times = median(a / b for a, b in zip(spent[ours], spent[theirs], strict=True))
            figures[f"{label}, {ours}: times as long as in C"] = times


def _take_turns(sides: Mapping[str, Callable[[int], object]], rounds: int) -> dict[str, list[float]]:
    """CPU microseconds per call of each side, round by round."""
    spent: dict[str, list[float]] = {side: [] for side in sides}
    calls = {side: max(2, round(TURN_S / _cpu_s(run, 2))) for side, run in sides.items()}
    for _ in range(rounds):
        for side, run in sides.items():
            spent[side].append(_cpu_s(run, calls[side]) * 1e6)
    return spent


def _cpu_s(run: Callable[[int], object], calls: int) -> float:
    started = time.thread_time()
    run(calls)
    return max((time.thread_time() - started) / calls, 1e-6)


def _phases_us(
    path: GuestPath, limits: StoreLimits, tool: bytes, params: bytes, *, turns: int
) -> list[float]:
    now = time.perf_counter_ns
    spent: list[list[float]] = [[] for _ in PHASES]
    for _ in range(turns):
        at = [now()]
        guest: Guest = path.enter(limits, None)
        at.append(now())
        guest.start()
        at.append(now())
        guest.init()
        at.append(now())
        guest.call_tool(tool, params, 1 << 22)
        at.append(now())
        guest.close()
        at.append(now())
        for k in range(len(PHASES)):
            spent[k].append((at[k + 1] - at[k]) / 1000)
    return [median(values) for values in spent]


CASES = {
    "in_process": Case(
        run=in_process,
        full=ROUNDS,
        quick=1,
        goals=(
            Goal(
                part=2,
                text="a fresh-instance echo takes at most a third of the plain API's time",
                figure="echo 100 B, lean: times as fast as the public API",
                at_least=3,
            ),
            Goal(
                part=2,
                text="a fresh-instance echo takes at most 2.5 times what it takes in C",
                figure="echo 100 B, lean: times as long as in C",
                at_most=2.5,
            ),
        ),
        charts=(
            Bars(
                title="One call of the echo with 100 B, fresh instance",
                unit="µs",
                bars={
                    "Python API": "echo 100 B, public API, µs",
                    "lean": "echo 100 B, lean, no pool, µs",
                    "lean, pool": "echo 100 B, lean, µs",
                    "C": "echo 100 B, in C, no pool, µs",
                    "C, pool": "echo 100 B, in C, µs",
                },
            ),
        ),
        durability="none",
    ),
}
