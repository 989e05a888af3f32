"""What traces are compared by: the steps, in order, and what became of each."""

from __future__ import annotations

from penstock_plugins.pipelines.trace import Trace


def shape_of(trace: Trace) -> list[tuple[str, str, str]]:
    """Kind, path and state of each entry, members' before those of what gathers them."""
    found: list[tuple[str, str, str]] = []
    for entry in trace:
        for member in entry.get("members") or entry.get("branches", {}).values():
            found += shape_of(member)
        state = "ok"
        if not entry.get("result", {}).get("success", True):
            state = "failed"
        elif entry.get("skipped"):
            state = "skipped"
        elif "taken" in entry:
            state = "taken" if entry["taken"] is True else entry["taken"]
        elif entry.get("passed") is False:
            state = "filtered"
        found.append((entry["type"], entry["step"], state))
    return found
