"""What cases measure with: medians, percentiles, wall clocks, CPU and memory of processes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence

import psutil


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(list(values))


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each turn: a machine that is slow for a while is slow for both."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def timed(run: Callable[[], object]) -> float:
    """Seconds that it took."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """CPU seconds that the processes have used, in steps of 10 ms."""
    used = 0.0
    for process in processes:
        times = process.cpu_times()
        used += times.user + times.system
    return used
