"""What pipelines cost against one map for each step; how large the messages of long and wide ones are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.case import Bars, Case, Curves, Figures, Goal, point
from benchmarks.contenders import WAIT_S
from benchmarks.measuring import median, median_ratio, timed
from benchmarks.system import System, penstock_system
from penstock import Pipeline, Producer
from penstock_broker_config.store import connect_store
from penstock_plugins.result import ToolResult

#: Rounds in which all ways take turns.
ROUNDS = 3
#: Chunks find their sizes.
WARM_UP_ITEMS = 600
_CHAIN_STEPS = (10, 25, 50, 100, 200)
#: Of a fan-out, for ten thousand elements of a full run.
_FAN_SHARES = (0.01, 0.1, 0.3, 1.0)
_FULL_FAN = 10_000
#: Tiny calls, each with what the one before gave.
SMALL_STEPS: tuple[tuple[str, dict[str, str]], ...] = (
    ("text.slug", {"text": "{{input.text}}"}),
    ("text.stats", {"text": "{{data.slug}}"}),
    ("text.distance", {"a": "{{input.text}}", "b": "{{results[0].data.slug}}"}),
    ("text.slug", {"text": "{{input.text}} {{data.distance}}"}),
    ("text.stats", {"text": "{{data.slug}}"}),
)


def pipelines(items: int) -> Figures:
    """Items through five steps against five maps one after the other, all results read; long and wide runs.

    The inputs of each map are made of what the one before gave, outside of the timing. A call has an instance
    of its own on both sides.
    """
    figures: Figures = {}
    with penstock_system(processes=1, plugins=("text",)) as system, system.producer() as producer:
        figures |= _against_maps(producer, items)
        figures |= _long_and_wide(system, producer, items)
    return figures


def _against_maps(producer: Producer, items: int) -> Figures:
    rows = [{"text": f"Hello World, this is item {n}"} for n in range(items)]
    steps = Pipeline.from_dict(
        {"name": "five", "steps": [{"tool": tool, "params": params} for tool, params in SMALL_STEPS]}
    )
    inputs = _inputs_of_maps(producer, steps, rows)
    for fuse in (True, False):
        run_items(producer, steps, rows[:WARM_UP_ITEMS], fuse=fuse)
    took_s: dict[str, list[float]] = {"fused": [], "each step by itself": [], "five maps": []}
    for _ in range(ROUNDS):
        took_s["five maps"].append(
            sum(_map_s(producer, tool, given) for (tool, _), given in zip(SMALL_STEPS, inputs, strict=True))
        )
        took_s["fused"].append(timed(lambda: run_items(producer, steps, rows)))
        took_s["each step by itself"].append(timed(lambda: run_items(producer, steps, rows, fuse=False)))
    figures = {f"five steps, {name}: µs an item": median(s) / items * 1e6 for name, s in took_s.items()}
    for name in ("fused", "each step by itself"):
        figures[f"five steps, {name}: times as long as five maps"] = median_ratio(
            took_s[name], took_s["five maps"]
        )
    return figures


def _inputs_of_maps(
    producer: Producer, steps: Pipeline, rows: Sequence[dict[str, str]]
) -> list[list[dict[str, Any]]]:
    """The params of each step, as its map gets them."""
    inputs: list[list[dict[str, Any]]] = [[] for _ in SMALL_STEPS]
    for result in run_items(producer, steps, rows):
        for given, entry in zip(inputs, result.trace or (), strict=True):
            given.append(entry["params"])
    return inputs


def _map_s(producer: Producer, tool: str, given: Sequence[dict[str, Any]]) -> float:
    def run() -> None:
        for result in producer.map(tool, given).results(WAIT_S):
            result.unwrap()

    return timed(run)


def run_items(
    producer: Producer, steps: Pipeline, rows: Sequence[Any], *, fuse: bool = True
) -> list[ToolResult]:
    """Run all rows through a pipeline; their results. Raises the failure of the first that failed."""
    found = []
    for result in producer.map(steps, rows, fuse=fuse).results(WAIT_S):
        result.unwrap()
        found.append(result)
    return found


def _long_and_wide(system: System, producer: Producer, items: int) -> Figures:
    figures: Figures = {}
    for count in _CHAIN_STEPS:
        steps = Pipeline.from_dict(
            {"name": "long", "steps": [{"tool": "text.slug", "params": {"text": "{{input.text}}"}}] * count}
        )
        with _messages(system) as sizes:
            took_s = timed(lambda steps=steps: run_items(producer, steps, [{"text": "a b"}] * 10, fuse=False))  # type: ignore[misc]
        figures[point("chain: largest message, bytes", count)] = max(sizes)
        figures[f"chain of {count} steps: largest message, bytes"] = max(sizes)
        if count == _CHAIN_STEPS[-1]:
            figures[f"chain of {count} steps, 10 items: s"] = took_s
    wide = Pipeline.from_dict(
        {
            "name": "wide",
            "steps": [
                {
                    "map": "data",
                    "steps": [
                        {"tool": "text.slug", "params": {"text": "{{item}}"}},
                        {"transform": "{{data.slug}}"},
                    ],
                }
            ],
        }
    )
    for share in _FAN_SHARES:
        elements = max(1, int(min(items, _FULL_FAN) * share))
        given = [f"Element {n}" for n in range(elements)]
        with _messages(system) as sizes:
            took_s = timed(lambda given=given: run_items(producer, wide, [given]))  # type: ignore[misc]
        figures[point("fan-out: all messages, bytes", elements)] = sum(sizes)
        figures[f"fan-out of {elements} elements: all messages, bytes"] = sum(sizes)
        figures[f"fan-out of {elements} elements: largest message, bytes"] = max(sizes)
        if share == 1.0:
            figures[f"fan-out of {elements} elements: s"] = took_s
    return figures


@contextmanager
def _messages(system: System) -> Iterator[list[int]]:
    """Sizes in bytes of the messages that are put into queues meanwhile, as Redis saw them."""
    sizes: list[int] = []
    mark = f"bench-end-{time.monotonic_ns()}"
    with (
        connect_store(system.settings) as client,
        connect_store(system.settings) as other,
        client.monitor() as monitor,
    ):

        def watch() -> None:
            for seen in monitor.listen():
                command = seen["command"]
                if mark in command:
                    return
                if command.startswith("LPUSH "):
                    sizes.append(len(command.split(" ", 2)[2]))

        thread = threading.Thread(target=watch)
        thread.start()
        yield sizes
        other.echo(mark)
        thread.join(WAIT_S)


CASES = {
    "pipelines": Case(
        run=pipelines,
        full=10_000,
        quick=500,
        goals=(
            Goal(
                part=4,
                text="10,000 items through five steps: at most 1.3 times the five maps one after the other",
                figure="five steps, fused: times as long as five maps",
                at_most=1.3,
            ),
        ),
        charts=(
            Bars(
                title="Five steps for each item",
                unit="µs an item",
                bars={
                    "five maps": "five steps, five maps: µs an item",
                    "pipeline, each step by itself": "five steps, each step by itself: µs an item",
                    "pipeline, fused": "five steps, fused: µs an item",
                },
            ),
            Curves(
                title="Size of the largest message of a chain",
                unit="bytes",
                along="steps, none fused",
                lines={"largest message": "chain: largest message, bytes"},
            ),
            Curves(
                title="Size of all messages of a fan-out",
                unit="bytes",
                along="elements",
                lines={"all messages": "fan-out: all messages, bytes"},
            ),
        ),
    ),
}
