"""What fused pure steps cost beside their calls: tiny ones, longer ones, those of a shipped example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.case import Case, Curves, Figures, Goal, point
from benchmarks.measuring import cpu_s, median, tree
from benchmarks.pipelines import ROUNDS, SMALL_STEPS, WARM_UP_ITEMS, run_items
from benchmarks.system import System, penstock_system
from penstock import Pipeline, Producer

_SMALL = "small texts (C)"
_PAGES = "pages (JavaScript and C)"
_CURVE = "fused: worker's CPU, times as long as its calls"
#: Letters that are compared: from a call that is hardly more than an instance to one of 0.2 ms.
_LETTERS = (30, 500, 1000, 2000)
#: Items with long texts are fewer: each has them in its trace.
_LONG_SHARE = 5
_PAGE_SHARE = 20
_PAGE = "## A heading\n\nSome *words*, a [link](https://example.com) and `code`.\n\n"
_PAGE_STEPS: tuple[tuple[str, dict[str, str]], ...] = (
    ("markdown.to_html", {"text": "{{input.text}}"}),
    ("text.stats", {"text": "{{data.html}}"}),
    ("markdown.headings", {"text": "{{input.text}}"}),
    ("text.slug", {"text": "{{data.headings[0].text}}"}),
    ("markdown.links", {"text": "{{input.text}}"}),
)


def fused(items: int) -> Figures:
    """A worker's CPU for five fused steps against what their calls took in the sandbox, by the traces.

    The worker's CPU is that of its parent and its pool process. A call has an instance of its own, and its
    time is that of a call by itself: params checked, instance made, guest run, answer read.
    """
    small = [{"text": f"Hello World, this is item {n}"} for n in range(items)]
    pages = [{"text": f"# Page {n}\n\n{_PAGE * 4}"} for n in range(max(50, items // _PAGE_SHARE))]
    figures: Figures = {}
    with penstock_system(processes=1, plugins=("text", "markdown")) as system, system.producer() as producer:
        for name, steps, rows in ((_SMALL, SMALL_STEPS, small), (_PAGES, _PAGE_STEPS, pages)):
            ratio, call_us, item_us = _against_calls(system, producer, steps, rows)
            figures[f"fused, {name}: µs a call"] = call_us
            figures[f"fused, {name}: worker's CPU, µs an item"] = item_us
            figures[f"fused, {name}: worker's CPU, times as long as its calls"] = ratio
        for letters in _LETTERS:
            rows = [_pair(n, letters) for n in range(max(50, items // _LONG_SHARE))]
            ratio, call_us, _ = _against_calls(system, producer, [_DISTANCE] * 5, rows)
            figures[point(_CURVE, round(call_us))] = ratio
            figures[f"fused, distances of {letters} letters: µs a call"] = call_us
            figures[f"fused, distances of {letters} letters: worker's CPU, times as long as its calls"] = (
                ratio
            )
    return figures


_DISTANCE = ("text.distance", {"a": "{{input.a}}", "b": "{{input.b}}"})


def _pair(n: int, letters: int) -> dict[str, str]:
    words = f"item {n} of many "
    return {"a": (words * letters)[:letters], "b": (words[::-1] * letters)[:letters]}


def _against_calls(
    system: System, producer: Producer, steps: Sequence[tuple[str, dict[str, str]]], rows: Sequence[Any]
) -> tuple[float, float, float]:
    """Worker's CPU over its calls' time, µs of a call, and worker's CPU in µs an item: medians of rounds."""
    pipeline = Pipeline.from_dict(
        {"name": "five", "steps": [{"tool": tool, "params": params} for tool, params in steps]}
    )
    run_items(producer, pipeline, rows[:WARM_UP_ITEMS])
    ratios, calls_us, items_us = [], [], []
    for _ in range(ROUNDS):
        before_s = cpu_s(tree(system.pid("worker")))
        results = run_items(producer, pipeline, rows)
        used_s = cpu_s(tree(system.pid("worker"))) - before_s
        calls_s = sum(entry["duration_ms"] for one in results for entry in one.trace or ()) / 1000
        ratios.append(used_s / calls_s)
        calls_us.append(calls_s / len(rows) / len(steps) * 1e6)
        items_us.append(used_s / len(rows) * 1e6)
    return median(ratios), median(calls_us), median(items_us)


CASES = {
    "fused": Case(
        run=fused,
        full=10_000,
        quick=500,
        goals=tuple(
            Goal(
                part=4,
                text=f"fused pure steps, {name}: at most 1.1 times the sandbox time",
                figure=f"fused, {name}: worker's CPU, times as long as its calls",
                at_most=1.1,
            )
            for name in (_SMALL, _PAGES)
        ),
        charts=(
            Curves(
                title="A worker's CPU for five fused steps, as a multiple of their calls' time",
                unit="times",
                along="µs a call",
                lines={"five distances": _CURVE},
            ),
        ),
    ),
}
