"""`python -m benchmarks`: runs cases, renders what they found, compares two runs.

python -m benchmarks [run] [CASE …] [--quick] [--json FILE] [--write]
python -m benchmarks render
python -m benchmarks compare OLD NEW
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.case import is_point
from benchmarks.cases import CASES
from benchmarks.charts import draw_charts
from benchmarks.compare import compare, report
from benchmarks.render import chart_paths, render
from benchmarks.results import Measured, now, read_results, start_from, this_machine
from penstock.redis_binary import find_redis_server

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
CHARTS = HERE / "charts"
#: What was written by hand, in this order.
BY_HAND = (HERE / "chaos.md", HERE / "profile.md")
DOCUMENT = HERE.parent / "BENCHMARKS.md"

COMMANDS = ("run", "render", "compare")


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; `run` when it names no command."""
    if not arguments or arguments[0] not in (*COMMANDS, "-h", "--help"):
        arguments = ["run", *arguments]
    options = _parser().parse_args(arguments)
    if options.command == "compare":
        return _compare(options.old, options.new)
    if options.command == "render":
        return _render()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        print(f"No case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}", file=sys.stderr)
        return 2
    return _run(options.cases or list(CASES), options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure; what `python -m benchmarks` does by itself")
    run.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}; all by default")
    run.add_argument("--quick", action="store_true", help="few turns: shows that it runs, measures little")
    run.add_argument("--json", type=Path, metavar="FILE", help="keep the figures in this file as well")
    run.add_argument(
        "--write", action="store_true", help=f"keep them in {RESULTS.name}, and render BENCHMARKS.md"
    )
    commands.add_parser("render", help=f"write BENCHMARKS.md and the charts from {RESULTS.name}")
    comparing = commands.add_parser("compare", help="exit with 1 when a figure is worse by more than 10 %%")
    comparing.add_argument("old", type=Path, metavar="OLD")
    comparing.add_argument("new", type=Path, metavar="NEW")
    return parser


def _run(names: Sequence[str], options: argparse.Namespace) -> int:
    file: Path | None = RESULTS if options.write else options.json
    machine = this_machine(find_redis_server())
    print(f"{machine.cores} cores, {machine.processor}; Python {machine.python}; Redis {machine.redis}\n")
    for name in names:
        case = CASES[name]
        size = case.quick if options.quick else case.full
        print(f"{name} ({size:,}; Redis: {case.durability}): {case.about}", flush=True)
        load, started = os.getloadavg()[0], time.perf_counter()
        figures = case.run(size)
        took_s = time.perf_counter() - started
        for figure, value in figures.items():
            if not is_point(figure):
                print(f"  {figure:<60} {value:>12,.2f}", flush=True)
        print(f"  took {took_s:.0f} s\n", flush=True)
        if file is not None:
            measured = Measured(size=size, took_s=took_s, at=now(), load_before=load, figures=figures)
            # After each: an hour's work is not lost with its last minute.
            file.write_text(start_from(file, machine).with_case(name, measured).to_json(), encoding="utf-8")
    return _render() if options.write else 0


def _render() -> int:
    results = read_results(RESULTS)
    charts = {}
    for name, measured in results.cases.items():
        if name in CASES:
            drawn = draw_charts(name, CASES[name], measured, CHARTS)
            charts[name] = chart_paths(drawn, CHARTS, DOCUMENT)
    by_hand = "\n".join(file.read_text(encoding="utf-8") for file in BY_HAND)
    DOCUMENT.write_text(render(results, CASES, charts=charts, by_hand=by_hand), encoding="utf-8")
    print(f"{DOCUMENT.name} is written, with {sum(map(len, charts.values()))} charts")
    return 0


def _compare(old: Path, new: Path) -> int:
    read = []
    for path in (old, new):
        try:
            read.append(read_results(path))
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
    comparison = compare(*read)
    print(report(comparison))
    return 1 if comparison.regressions else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
