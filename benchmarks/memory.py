"""Memory: over a million calls, and of pool processes beside one another."""

from __future__ import annotations

import itertools
import os
import time

import psutil

from benchmarks.case import Bars, Case, Curves, Figures, Goal, point, points
from benchmarks.contenders import WAIT_S
from benchmarks.measuring import median, tree
from benchmarks.system import System, penstock_system
from penstock import Producer

#: Samples along the million.
SAMPLES = 25
WATCHED = ("producer", "scheduler", "worker")
SHIPPED = ("text", "markdown", "code")
#: Calls of each plugin that every pool process gets its share of before it is measured.
TOUCHES = 40


def million(calls: int) -> Figures:
    """A long `map` whose results are read: resident memory of producer, scheduler and worker on the way."""
    figures: Figures = {}
    with penstock_system() as system, system.producer() as producer:
        started = time.perf_counter()
        job = producer.map("text.slug", ({"text": f"Hello World {n}"} for n in range(calls)))
        done = failed = 0
        for result in job.results():
            done += 1
            failed += not result.success
            if done % (calls // SAMPLES) == 0:
                for name in WATCHED:
                    figures[point(f"{name}, MB", done)] = _resident_mb(system, name)
        figures["calls/s, results read"] = calls / (time.perf_counter() - started)
    if failed or done != calls:
        raise RuntimeError(f"{calls - done} calls have no result, {failed} failed")
    for name in WATCHED:
        after = [value for _, value in points(figures, f"{name}, MB")][SAMPLES // 5 :]
        figures[f"{name} at the end, MB"] = after[-1]
        # The first fifth fills caches and pools.
        figures[f"{name} drift after the first fifth, %"] = (after[-1] / after[0] - 1) * 100
    return figures


def pool_memory(touches: int) -> Figures:
    """Pool processes with plugins warm and called, all shipped ones or the Python one: what each takes alone.

    PSS counts a page that n processes share as 1/n; USS is what ends with the process.
    """
    return {
        **_pools(SHIPPED, touches),
        **{f"Python plugin, {name}": value for name, value in _pools(("code",), touches).items()},
    }


def _pools(plugins: tuple[str, ...], touches: int) -> Figures:
    figures: Figures = {}
    with penstock_system(processes=0, plugins=plugins) as system:
        for processes in (1, 2, 4):
            with system.worker(processes=processes), system.producer() as producer:
                _call_all(producer, plugins, touches * processes)
                parent, *pool = tree(system.pid("worker"))
                memories = [process.memory_full_info() for process in pool]
                own = parent.memory_full_info()
            alone_mb = [memory.uss / 1e6 for memory in memories]
            figures[f"{processes} proc: PSS of the pool, MB"] = sum(m.pss for m in memories) / 1e6
            figures[f"{processes} proc: PSS with the parent, MB"] = (
                sum(m.pss for m in memories) + own.pss
            ) / 1e6
            figures[f"{processes} proc: USS of one, median, MB"] = median(alone_mb)
            figures[f"{processes} proc: USS of one, most, MB"] = max(alone_mb)
    first_mb = figures["1 proc: PSS of the pool, MB"]
    for processes in (2, 4):
        most_mb = figures[f"{processes} proc: USS of one, most, MB"]
        figures[f"{processes} proc: USS of one against PSS of the only one, %"] = most_mb / first_mb * 100
    return figures


def _resident_mb(system: System, name: str) -> float:
    if name == "producer":
        return float(psutil.Process(os.getpid()).memory_info().rss) / 1e6
    return system.resident_bytes(name) / 1e6


def _call_all(producer: Producer, plugins: tuple[str, ...], calls: int) -> None:
    """Some calls of each of these plugins, spread over the pool."""
    source = "def greet(name):\n    return 'Hello ' + name\n"
    inputs = {
        "text.slug": {"text": "Hello World"},
        "markdown.to_html": {"text": "# Hello\n\n*World*\n"},
        "code.outline": {"source": source},
    }
    jobs = [
        producer.map(tool, itertools.repeat(params, calls))
        for tool, params in inputs.items()
        if tool.partition(".")[0] in plugins
    ]
    for job in jobs:
        for result in job.results(WAIT_S):
            result.unwrap()


CASES = {
    "million": Case(
        run=million,
        full=1_000_000,
        quick=10_000,
        goals=(
            *(
                Goal(
                    part=2,
                    text=f"a million calls: the {name}'s memory drifts at most 5 %",
                    figure=f"{name} drift after the first fifth, %",
                    at_most=5,
                )
                for name in WATCHED
            ),
        ),
        charts=(
            Curves(
                title="Memory over a million calls",
                unit="MB",
                along="calls",
                lines={name: f"{name}, MB" for name in WATCHED},
            ),
        ),
    ),
    "pool_memory": Case(
        run=pool_memory,
        full=TOUCHES,
        quick=8,
        goals=tuple(
            Goal(
                part=2,
                text=f"Python plugin warm, each of {n} pool processes: USS at most 25 % of one's PSS",
                figure=f"Python plugin, {n} proc: USS of one against PSS of the only one, %",
                at_most=25,
            )
            for n in (2, 4)
        ),
        charts=(
            Bars(
                title="Memory of pool processes, all shipped plugins warm",
                unit="MB",
                bars={str(n): f"{n} proc: PSS of the pool, MB" for n in (1, 2, 4)},
            ),
        ),
    ),
}
