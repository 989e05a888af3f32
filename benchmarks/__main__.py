"""Runs benchmarks and prints their figures: `python -m benchmarks [CASE …] [--quick] [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.system import DURABILITY


def main() -> int:
    """Run the named cases, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few turns: shows that it runs, measures little")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")

    print(f"{platform.machine()}, Python {platform.python_version()}; Redis: {DURABILITY}\n")
    found = {}
    for name in options.cases or CASES:
        case = CASES[name]
        size = case.quick if options.quick else case.full
        print(f"{name} ({size:,}): {case.about}", flush=True)
        found[name] = case.run(size)
        for figure, value in found[name].items():
            print(f"  {figure:<56} {value:>12,.2f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
