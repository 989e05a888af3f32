"""Writes BENCHMARKS.md from a file of results: goals, figures with commands and charts, chaos, profiles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.case import DURABLE, Case, Goal, is_point
from benchmarks.results import Machine, Measured, Results

_INTRODUCTION = f"""\
# Benchmarks

`make bench` measures all of this on your machine, writes `benchmarks/results.json` and its charts, and
renders this file from them; `python -m benchmarks compare OLD NEW` names what became more than 10 % worse
between two such files. Nothing here is a test: machines differ, ratios travel.

Both sides of every ratio are measured in one run, in turns, on the same Redis: **{DURABLE}**, unless a
case says otherwise, on a Unix socket. Peers run a plain Python function with no sandbox around it; Penstock
runs the same as a WebAssembly component, each call in a fresh instance.
"""


def render(
    results: Results, cases: Mapping[str, Case], *, charts: Mapping[str, list[str]], by_hand: str
) -> str:
    """The text of BENCHMARKS.md.

    Args:
        results: what was measured.
        cases: all there are, in the order of the document.
        charts: paths of the charts of each case, as the document links them.
        by_hand: what chaos runs and profiles have shown; may be empty.
    """
    parts = [_INTRODUCTION, _machine(results.machine), _goals(results, cases)]
    for name, case in cases.items():
        measured = results.cases.get(name)
        if measured is not None:
            parts.append(_case(name, case, measured, charts.get(name, [])))
    if by_hand:
        parts.append(by_hand.strip() + "\n")
    return "\n".join(parts)


def chart_paths(names: list[str], folder: Path, document: Path) -> list[str]:
    """How the document links charts in a folder below it."""
    return [(folder / name).relative_to(document.parent).as_posix() for name in names]


def _machine(machine: Machine) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        "| | |\n|---|---|\n"
        f"| Machine | {machine.cores} cores, {machine.processor}, {machine.memory_gb} GB, "
        f"{machine.system} |\n"
        f"| Python | {machine.python} |\n"
        f"| Redis | {machine.redis}; {DURABLE} |\n"
        f"| Packages | {versions} |\n"
    )


def _goals(results: Results, cases: Mapping[str, Case]) -> str:
    lines = ["## Goals\n", "| part | | goal | found | case |", "|---:|---|---|---:|---|"]
    rows = []
    for name, case in cases.items():
        for goal in case.goals:
            measured = results.cases.get(name)
            value = None if measured is None else measured.figures.get(goal.figure)
            rows.append((goal.part, _goal(goal, value, name)))
    # Sorted by part; within it, in the order of the cases.
    lines += [row for _, row in sorted(rows, key=lambda row: row[0])]
    return "\n".join(lines) + "\n"


def _goal(goal: Goal, value: float | None, case: str) -> str:
    if value is None:
        state, found = "not measured", ""
    else:
        state, found = ("reached" if goal.reached(value) else "**not reached**"), _number(value)
    return f"| {goal.part} | {state} | {goal.text} | {found} | [{case}](#{case}) |"


def _case(name: str, case: Case, measured: Measured, charts: list[str]) -> str:
    quick = measured.size < case.full
    load = "unknown" if measured.load_before is None else f"{measured.load_before:.1f}"
    taken = (
        f"`python -m benchmarks {name}` · {measured.size:,} · {measured.took_s:.0f} s · {measured.at} UTC"
        f" · load before {load} · Redis: {case.durability}\n"
    )
    lines = [
        f"## {name}\n",
        f"{case.about}\n",
        *(["**A quick run: it shows that the case works, and measures little.**\n"] if quick else []),
        taken,
        "| | |",
        "|---|---:|",
    ]
    lines += [
        f"| {figure} | {_number(value)} |"
        for figure, value in measured.figures.items()
        if not is_point(figure)
    ]
    lines += [f"\n![{name}]({path})" for path in charts]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
