"""What a stage adds to the counters of the steps that its items went through. Pure.

The ledger keeps `PATH|what`, PATH being where a step is in what was written, as in its trace entries; `what`
is in, out, failed, filtered, skipped, undone, not_undone, or us (microseconds that it took in all).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from penstock_plugins.pipelines.item import ItemState
from penstock_plugins.pipelines.trace import Trace

#: It went into a branch's arm or a handler. Where it comes out, the item says.
_INSIDE = "inside"
_GONE_INTO = ("branch", "catch")
#: It failed when it was about to come out of one, which has an entry from when it went in.
_FAILED_INSIDE = "failed inside"
#: What is not of an item that came to the step: calls that undo it are none either.
_NOT_ENTERED = ("undone", "not_undone", _FAILED_INSIDE)


def count_steps(traces: Iterable[Trace], items: Iterable[ItemState | None]) -> dict[str, int]:
    """The counters of a stage.

    Args:
        traces: its entries, by item; those of members are counted where members run.
        items: as the stage left them. None: it has ended before.
    """
    # Texts are made once for each step, and not for each entry.
    took_ms: defaultdict[str, float] = defaultdict(float)
    came_to: dict[str, list[str]] = {}
    for trace in traces:
        for entry in trace:
            path = entry["step"]
            took_ms[path] += entry["duration_ms"]
            if path in came_to:
                came_to[path].append(_came_to(entry))
            else:
                came_to[path] = [_came_to(entry)]
    counters = {f"{path}|us": round(ms * 1000) for path, ms in took_ms.items()}
    for path, ends in came_to.items():
        for end, count in Counter(ends).items():
            if end != _INSIDE:
                what = "failed" if end == _FAILED_INSIDE else end
                counters[f"{path}|{what}"] = counters.get(f"{path}|{what}", 0) + count
        entered = sum(end not in _NOT_ENTERED for end in ends)
        if entered:
            counters[f"{path}|in"] = entered
    came_out = Counter(path for item in items if item is not None for path in item.came_out_of)
    for path, count in came_out.items():
        counters[f"{path}|out"] = count
    return counters


def _came_to(entry: dict[str, Any]) -> str:
    if entry["type"] == "compensate":
        return "undone" if entry["result"]["success"] else "not_undone"
    result = entry.get("result")
    if result is not None:
        return "out" if result["success"] else _failed(entry)
    if entry.get("skipped"):
        return "skipped"
    if "taken" in entry:
        return _INSIDE
    return "filtered" if entry.get("passed") is False else "out"


def _failed(entry: dict[str, Any]) -> str:
    """Of a branch or a handler, `stop_when` is asked at its end."""
    if entry["type"] not in _GONE_INTO:
        return "failed"
    details = entry["result"]["error"].get("details") or {}
    return _FAILED_INSIDE if details.get("key") == "stop_when" else "failed"
