"""What fused pure steps cost beside their calls: tiny ones, longer ones, those of a shipped example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.case import Case, Curves, Figures, Goal, point
from benchmarks.measuring import cpu_s, median, median_ratio, tree
from benchmarks.pipelines import SMALL_STEPS, WARM_UP_ITEMS, run_items
from benchmarks.system import System, penstock_system
from penstock import Pipeline

#: Letters that are compared: from a call that is hardly more than an instance to one of 0.2 ms.
_LETTERS = (30, 500, 1000, 2000)
#: Long calls take a round's time with fewer items.
_LONG_LETTERS, _LONG_SHARE = 2000, 3
_PAGE_SHARE = 20
#: Where others use the machine, single rounds differ by a tenth.
_ROUNDS = 7
_PAGE = "## A heading\n\nSome *words*, a [link](https://example.com) and `code`.\n\n"
_PAGE_STEPS: tuple[tuple[str, dict[str, str]], ...] = (
    ("markdown.to_html", {"text": "{{input.text}}"}),
    ("text.stats", {"text": "{{data.html}}"}),
    ("markdown.headings", {"text": "{{input.text}}"}),
    ("text.slug", {"text": "{{data.headings[0].text}}"}),
    ("markdown.links", {"text": "{{input.text}}"}),
)
_DISTANCE = ("text.distance", {"a": "{{input.a}}", "b": "{{input.b}}"})

_SMALL = "small texts (C)"
_PAGES = "pages (JavaScript and C)"
#: How a stage's calls are run: as a worker does that nobody has set up, or each in an instance of its own.
_SHIPPED, _APART = "as shipped", "an instance for each call"
_CURVES = {side: f"fused, {side}: worker's CPU, times as long as the calls" for side in (_SHIPPED, _APART)}


def fused(items: int) -> Figures:
    """A worker's CPU for five fused steps against what their calls take in the sandbox, one by one.

    The worker's CPU is that of its parent and its pool process. The calls' time is by the traces, where each
    has an instance of its own: params checked, instance made, guest run, answer read. As shipped, calls of
    plugins with the batch entry point share instances; the other figures are without that.
    """
    small = [{"text": f"Hello World, this is item {n}"} for n in range(items)]
    pages = [{"text": f"# Page {n}\n\n{_PAGE * 4}"} for n in range(max(50, items // _PAGE_SHARE))]
    figures: Figures = {}
    with penstock_system(processes=0, plugins=("text", "markdown"), batch_entry_point=True) as system:
        for name, steps, rows in ((_SMALL, SMALL_STEPS, small), (_PAGES, _PAGE_STEPS, pages)):
            figures |= _compare(system, steps, rows).figures(name)
        for letters in _LETTERS:
            count = items if letters < _LONG_LETTERS else max(50, items // _LONG_SHARE)
            rows = [_pair(n, letters) for n in range(count)]
            name = _distances(letters)
            found = _compare(system, [_DISTANCE] * 5, rows)
            figures |= found.figures(name)
            for side, line in _CURVES.items():
                figures[point(line, round(found.call_us))] = found.times[side]
    return figures


@dataclass(frozen=True, slots=True)
class _Compared:
    """Medians of rounds."""

    #: A call in an instance of its own.
    call_us: float
    #: Of the worker, for an item, by side.
    item_us: Mapping[str, float]
    #: The same as a multiple of what the item's calls take one by one.
    times: Mapping[str, float]

    def figures(self, name: str) -> Figures:
        """They by name."""
        found: Figures = {f"fused, {name}: µs a call": self.call_us}
        for side in (_SHIPPED, _APART):
            found[f"fused, {name}, {side}: worker's CPU, µs an item"] = self.item_us[side]
            found[_times(name, side)] = self.times[side]
        return found


def _distances(letters: int) -> str:
    return f"distances of {letters} letters"


def _times(name: str, side: str) -> str:
    return f"fused, {name}, {side}: worker's CPU, times as long as the calls one by one"


def _pair(n: int, letters: int) -> dict[str, str]:
    words = f"item {n} of many "
    return {"a": (words * letters)[:letters], "b": (words[::-1] * letters)[:letters]}


def _compare(system: System, steps: Sequence[tuple[str, dict[str, str]]], rows: Sequence[Any]) -> _Compared:
    """Run the rows in rounds that take turns: as shipped, and with an instance for each call."""
    pipeline = Pipeline.from_dict(
        {"name": "five", "steps": [{"tool": tool, "params": params} for tool, params in steps]}
    )
    apart = replace(system, environment={**system.environment, "PENSTOCK_BATCH_ENTRY_POINT": "false"})
    used_us: dict[str, list[float]] = {_SHIPPED: [], _APART: []}
    calls_us: list[float] = []
    for _ in range(_ROUNDS):
        item_us, item_calls_us = _run(apart, pipeline, rows)
        used_us[_APART].append(item_us)
        calls_us.append(item_calls_us)
        used_us[_SHIPPED].append(_run(system, pipeline, rows)[0])
    return _Compared(
        call_us=median(calls_us) / len(steps),
        item_us={side: median(found) for side, found in used_us.items()},
        times={side: median_ratio(found, calls_us) for side, found in used_us.items()},
    )


def _run(system: System, pipeline: Pipeline, rows: Sequence[Any]) -> tuple[float, float]:
    """Worker's CPU and time of the calls, by the traces; both in µs an item."""
    with system.worker(processes=1), system.producer() as producer:
        run_items(producer, pipeline, rows[:WARM_UP_ITEMS])
        before_s = cpu_s(tree(system.pid("worker")))
        results = run_items(producer, pipeline, rows)
        used_s = cpu_s(tree(system.pid("worker"))) - before_s
    calls_ms = sum(entry["duration_ms"] for one in results for entry in one.trace or ())
    return used_s / len(rows) * 1e6, calls_ms / len(rows) * 1e3


CASES = {
    "fused": Case(
        run=fused,
        full=10_000,
        quick=500,
        goals=tuple(
            Goal(
                part=4,
                text=f"fused pure steps, {name}, {side}: at most 1.1 times the sandbox time",
                figure=_times(name, side),
                at_most=1.1,
            )
            for name, side in (
                *((name, side) for name in (_SMALL, _PAGES) for side in (_SHIPPED, _APART)),
                *((_distances(letters), _SHIPPED) for letters in _LETTERS),
            )
        ),
        charts=(
            Curves(
                title="A worker's CPU for five fused distances, as a multiple of the calls one by one",
                unit="times",
                along="µs a call",
                lines=_CURVES,
            ),
        ),
    ),
}
