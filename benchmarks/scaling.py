"""More processes: with a tool that only sleeps, and with guests that compute."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager

from benchmarks.case import Bars, Case, Figures, Goal
from benchmarks.contenders import WAIT_S
from benchmarks.measuring import median, median_ratio, timed
from benchmarks.system import System, penstock_system
from penstock import Producer

SLEEP_S = 0.001
PROCESSES = (1, 2, 4, 8)
ROUNDS = 3
GUEST_ROUNDS = 5
WARM_UP_CALLS = 300
#: A document that `markdown.to_html` takes 20 ms and more for.
DOCUMENT = "# Hello *world*\n\nSome [text](https://example.org) and `code`.\n\n- one\n- two\n\n" * 50


def sleeping(calls: int) -> Figures:
    """1, 2, 4 and 8 worker processes whose tool sleeps 1 ms: what the queue adds, cores aside.

    Each process gets so many calls, so that every turn takes as long.
    """
    rates: dict[int, list[float]] = {}
    with penstock_system(processes=0) as system:
        for _ in range(ROUNDS):
            for processes in PROCESSES:
                with sleeping_worker(system, processes=processes, sleep_s=SLEEP_S):
                    rates.setdefault(processes, []).append(_slug_rate(system, calls * processes))
    figures: Figures = {f"{n} proc, calls/s": median(found) for n, found in rates.items()}
    for n in PROCESSES:
        figures[f"{n} proc, share of what sleeping allows"] = median(rates[n]) / (n / SLEEP_S)
    for n in PROCESSES[1:]:
        figures[f"{n} proc, times as fast as 1"] = median_ratio(rates[n], rates[1])
    return figures


def guests(calls: int) -> Figures:
    """Two pool processes against one, with guests that compute for 20 ms and more: median of 5 turns."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    execution_ms: list[float] = []
    with penstock_system(processes=0, plugins=("markdown",)) as system:
        for _ in range(GUEST_ROUNDS):
            for processes, found in rates.items():
                with system.worker(processes=processes), system.producer() as producer:
                    _documents(producer, 4 * processes)
                    took: list[float] = []
                    seconds = timed(lambda p=producer, t=took: t.extend(_documents(p, calls)))  # type: ignore[misc]
                    found.append(calls / seconds)
                    execution_ms += took if processes == 1 else []
    return {
        "one call, ms": median(execution_ms),
        "1 proc, calls/s": median(rates[1]),
        "2 proc, calls/s": median(rates[2]),
        "2 proc, times as fast as 1": median_ratio(rates[2], rates[1]),
    }


def sleeping_worker(system: System, *, processes: int, sleep_s: float) -> AbstractContextManager[None]:
    """A worker whose tools sleep, for the length of a block."""
    command = [sys.executable, "-m", "benchmarks.sleeping_worker", str(processes), str(sleep_s)]
    return system.running("sleeping", command, ready="Ready")


def _slug_rate(system: System, calls: int) -> float:
    with system.producer() as producer:
        _slugs(producer, WARM_UP_CALLS)
        return calls / timed(lambda: _slugs(producer, calls))


def _slugs(producer: Producer, calls: int) -> None:
    job = producer.map("text.slug", ({"text": f"Hello World {n}"} for n in range(calls)))
    for result in job.results(WAIT_S):
        result.unwrap()


def _documents(producer: Producer, calls: int) -> list[float]:
    """Milliseconds that each execution took."""
    job = producer.map("markdown.to_html", ({"text": DOCUMENT} for _ in range(calls)))
    took = []
    for result in job.results(WAIT_S):
        result.unwrap()
        took.append(result.metadata.execution_ms)
    return took


CASES = {
    "sleeping": Case(
        run=sleeping,
        full=3_000,
        quick=300,
        charts=(
            Bars(
                title="A tool that sleeps 1 ms, by worker processes",
                unit="calls/s",
                bars={str(n): f"{n} proc, calls/s" for n in PROCESSES},
            ),
        ),
    ),
    "guests": Case(
        run=guests,
        full=150,
        quick=10,
        goals=(
            Goal(
                part=2,
                text="two pool processes do at least 1.8 times the work of one, guests of 20 ms and more",
                figure="2 proc, times as fast as 1",
                at_least=1.8,
            ),
        ),
        charts=(
            Bars(
                title="Guests that compute, by pool processes",
                unit="calls/s",
                bars={"1": "1 proc, calls/s", "2": "2 proc, calls/s"},
            ),
        ),
    ),
}
