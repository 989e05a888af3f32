"""`make chaos MINUTES=… SEED=…`: the long runs. Prints what was counted, and writes it as JSON."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.scenarios import everything
from tests.chaos.verdict import Verdict

#: What a program says to whoever started it.
say = print


def main() -> int:
    """Run the scenario that the command line names."""
    asked = _arguments()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**9)
    folder = Path(asked.folder or tempfile.mkdtemp(prefix="penstock-chaos-"))
    say(f"files: {folder}", flush=True)
    begun = time.monotonic()
    verdict = run(asked.scenario, folder, asked, seed)
    verdict.figures |= {"took, s": round(time.monotonic() - begun, 1)}
    for name, value in verdict.figures.items():
        say(f"{name:46} {json.dumps(value) if isinstance(value, dict) else value}")
    for problem in verdict.problems:
        say(f"NOT KEPT: {problem}")
    report = {"scenario": asked.scenario, "figures": verdict.figures, "problems": verdict.problems}
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    say(f"report: {folder / 'report.json'}")
    return 1 if verdict.problems else 0


def run(scenario: str, folder: Path, asked: argparse.Namespace, seed: int) -> Verdict:
    """Run one scenario."""
    seconds = asked.minutes * 60
    calls = asked.calls or max(500, int(seconds * 40))
    return everything(folder, broker=asked.broker, seed=seed, seconds=seconds, calls=calls)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--scenario", default="everything", choices=["everything"])
    parser.add_argument("--broker", default="redis", choices=["redis", "rabbitmq"])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--calls", type=int, help="how many; by default as many as take about that long")
    parser.add_argument("--folder", help="where files and logs go, and stay")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
