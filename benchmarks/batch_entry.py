"""Calls that share an instance, by the batch entry point of their plugin, against an instance for each.

In this process: CPU time of both, in rounds that take turns; each ratio is the median of the rounds' ratios.
Then the same from a producer to its results, with one worker process.
"""

from __future__ import annotations

import atexit
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from benchmarks.case import Bars, Case, Figures
from benchmarks.measuring import median, median_ratio, timed
from benchmarks.system import System, penstock_system
from penstock_plugins.policy import OperatorPolicy
from penstock_plugins.shipped import shipped_plugins
from penstock_workers import Executor
from penstock_workers.executor import PreparedTool

ROUNDS = 5
#: CPU seconds of a side's turn, and calls of a batch, as workers get them.
_TURN_S = 0.2
_BATCH_CALLS = (16, 512)
#: What is mapped over a queue, and how many of the calls.
_OVER_A_QUEUE = {"slug 30 B (C)": 1.0, "to_html 70 B (JavaScript)": 0.1}
_TURNS = 3
#: Before each: chunks find their size.
_WARM_UP_CALLS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A call that is made again and again."""

    label: str
    plugin: str
    tool: str
    params: Mapping[str, object]


def subjects() -> list[Subject]:
    """Small and middling calls of what is shipped in each language."""
    words = "lorem ipsum dolor "
    page = "## A heading\n\nSome *words*, a [link](https://example.com) and `code`.\n\n"
    module = "import os\n\n\ndef f(x: int = 1) -> int:\n    return x if x else 0\n\n\n"
    return [
        Subject(label="slug 30 B (C)", plugin="text", tool="slug", params={"text": "Hello, World 12345"}),
        Subject(label="stats 100 B (C)", plugin="text", tool="stats", params={"text": words * 5}),
        Subject(label="stats 10 KB (C)", plugin="text", tool="stats", params={"text": words * 550}),
        Subject(
            label="distance 100 B (C)",
            plugin="text",
            tool="distance",
            params={"a": words * 5, "b": words[::-1] * 5},
        ),
        Subject(label="to_html 70 B (JavaScript)", plugin="markdown", tool="to_html", params={"text": page}),
        Subject(
            label="to_html 3 KB (JavaScript)", plugin="markdown", tool="to_html", params={"text": page * 40}
        ),
        Subject(label="outline 70 B (Python)", plugin="code", tool="outline", params={"source": module}),
        Subject(
            label="outline 7 KB (Python)", plugin="code", tool="outline", params={"source": module * 100}
        ),
    ]


def batch_entry(rounds: int) -> Figures:
    """Calls of a batch in this process: an instance for each, or one for many by the batch entry point."""
    figures: Figures = {}
    for subject in subjects():
        folder = shipped_plugins() / subject.plugin
        if not folder.is_dir():
            continue
        with (
            Executor.local(folder, cache_dir=_cache_dir(), operator_policy=_alone) as loop,
            Executor.local(folder, cache_dir=_cache_dir()) as batch,
        ):
            _compare(figures, subject, loop.prepare(subject.tool), batch.prepare(subject.tool), rounds)
    return figures


def _compare(
    figures: Figures, subject: Subject, loop: PreparedTool, batch: PreparedTool, rounds: int
) -> None:
    if loop.runs_together or not batch.runs_together:
        raise RuntimeError(f"{subject.label}: both sides would do the same")
    params = orjson.dumps(subject.params)
    one_s = _cpu_s(lambda: _run(loop, params, 4)) / 4
    calls = max(_BATCH_CALLS[0], min(_BATCH_CALLS[1], round(_TURN_S / one_s)))
    rates: dict[str, list[float]] = {"loop": [], "batch": []}
    for _ in range(rounds):
        rates["loop"].append(calls / _cpu_s(lambda: _run(loop, params, calls)))
        rates["batch"].append(calls / _cpu_s(lambda: _run(batch, params, calls)))
    for side, found in rates.items():
        figures[f"{subject.label}, {side}, calls/s"] = median(found)
    times = median_ratio(rates["batch"], rates["loop"])
    figures[f"{subject.label}: times as fast as the loop"] = times


def _run(prepared: PreparedTool, params: bytes, calls: int) -> None:
    outcomes = prepared.invoke_many([params] * calls, token="bench")  # noqa: S106  # names the calls
    if not all(outcome.success for outcome in outcomes):
        raise RuntimeError("calls failed")


def _cpu_s(run: Callable[[], object]) -> float:
    started = time.thread_time()
    run()
    return time.thread_time() - started


def batch_entry_map(calls: int) -> Figures:
    """`map` through a worker of one process: with the batch entry point, and with it switched off."""
    figures: Figures = {}
    chosen = [subject for subject in subjects() if subject.label in _OVER_A_QUEUE]
    with penstock_system(processes=0, plugins=("text", "markdown"), batch_entry_point=True) as system:
        off = replace(system, environment={**system.environment, "PENSTOCK_BATCH_ENTRY_POINT": "false"})
        for subject in chosen:
            rates: dict[str, list[float]] = {"loop": [], "batch": []}
            count = max(_WARM_UP_CALLS, int(calls * _OVER_A_QUEUE[subject.label]))
            for _ in range(_TURNS):
                rates["loop"].append(_map_rate(off, subject, count))
                rates["batch"].append(_map_rate(system, subject, count))
            for side, found in rates.items():
                figures[f"{subject.label}, {side}, calls/s"] = median(found)
            times = median_ratio(rates["batch"], rates["loop"])
            figures[f"{subject.label}: times as fast as the loop"] = times
    return figures


def _map_rate(system: System, subject: Subject, calls: int) -> float:
    with system.worker(processes=1), system.producer() as producer:

        def run(count: int) -> None:
            job = producer.map(
                f"{subject.plugin}.{subject.tool}", (dict(subject.params) for _ in range(count))
            )
            if sum(result.success for result in job.results(300)) != count:
                raise RuntimeError("calls failed")

        run(_WARM_UP_CALLS)
        return calls / timed(lambda: run(calls))


def _alone(_: str) -> OperatorPolicy:
    return OperatorPolicy(batch_entry_point=False)


_folders: list[tempfile.TemporaryDirectory[str]] = []


def _cache_dir() -> Path:
    """Native code of this run."""
    if not _folders:
        _folders.append(tempfile.TemporaryDirectory(prefix="penstock-bench-cache-"))
        atexit.register(_folders[0].cleanup)
    return Path(_folders[0].name)


CASES = {
    "batch_entry": Case(
        run=batch_entry,
        full=ROUNDS,
        quick=1,
        charts=(
            Bars(
                title="Small calls of a batch, one process, no queue",
                unit="calls/s",
                bars={
                    "C, an instance each": "slug 30 B (C), loop, calls/s",
                    "C, shared": "slug 30 B (C), batch, calls/s",
                    "JavaScript, an instance each": "to_html 70 B (JavaScript), loop, calls/s",
                    "JavaScript, shared": "to_html 70 B (JavaScript), batch, calls/s",
                    "Python, an instance each": "outline 70 B (Python), loop, calls/s",
                    "Python, shared": "outline 70 B (Python), batch, calls/s",
                },
            ),
        ),
        durability="none",
    ),
    "batch_entry_map": Case(run=batch_entry_map, full=20_000, quick=1_000),
}
