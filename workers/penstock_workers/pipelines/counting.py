"""What a stage adds to the counters of the steps that its items went through. Pure.

The ledger keeps `PATH|what`, PATH being where a step is in what was written, as in its trace entries; `what`
is in, out, failed, filtered, skipped, undone, not_undone, or us (microseconds that it took in all).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from penstock_plugins.pipelines.trace import Trace


def count_steps(traces: Iterable[Trace]) -> dict[str, int]:
    """The counters of all entries; those of members are counted where members run."""
    counters: Counter[str] = Counter()
    for trace in traces:
        for entry in trace:
            path = entry["step"]
            counters[f"{path}|us"] += round(entry["duration_ms"] * 1000)
            if entry["type"] == "compensate":
                counters[f"{path}|{'undone' if entry['result']['success'] else 'not_undone'}"] += 1
                continue
            counters[f"{path}|in"] += 1
            counters[f"{path}|{_came_to(entry)}"] += 1
    return dict(counters)


def _came_to(entry: dict[str, Any]) -> str:
    if entry.get("skipped"):
        return "skipped"
    if entry.get("passed") is False:
        return "filtered"
    result = entry.get("result")
    return "failed" if result is not None and not result["success"] else "out"
