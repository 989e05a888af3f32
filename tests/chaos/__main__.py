"""`make chaos MINUTES=… SEED=…`: the long runs. Prints what was counted, and writes it as JSON."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.focused import batches, leases
from tests.chaos.pipeline_scenario import pipelines
from tests.chaos.scenarios import everything
from tests.chaos.verdict import Verdict
from tests.support.forked import SWITCH

#: Scenarios that are tests, done more often.
TESTS = {
    "crash_points": (
        "tests/chaos/test_crash_points.py",
        "tests/chaos/test_pipeline_points.py",
        "tests/chaos/test_pipeline_producer_points.py",
        "tests/chaos/test_housekeeping_points.py",
        "tests/chaos/test_operator_points.py",
        "tests/integration/foreign_canvas/test_crashes.py",
    ),
    "cut_file": ("tests/chaos/test_cut_file.py",),
}
SCENARIOS = ["everything", "pipelines", "batches", "leases", *TESTS]

#: What a program says to whoever started it.
say = print


def main() -> int:
    """Run the scenario that the command line names."""
    asked = _arguments()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**9)
    folder = Path(asked.folder or tempfile.mkdtemp(prefix="penstock-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    say(f"files: {folder}", flush=True)
    begun = time.monotonic()
    verdict = run(asked.scenario, folder, asked, seed)
    verdict.figures |= {"took, s": round(time.monotonic() - begun, 1)}
    for name, value in verdict.figures.items():
        say(f"{name:46} {json.dumps(value) if isinstance(value, dict) else value}")
    for problem in verdict.problems[:20]:
        say(f"NOT KEPT: {problem}")
    report = {"scenario": asked.scenario, "figures": verdict.figures, "problems": verdict.problems}
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    say(f"report: {folder / 'report.json'}")
    return 1 if verdict.problems else 0


def run(scenario: str, folder: Path, asked: argparse.Namespace, seed: int) -> Verdict:
    """Run one scenario."""
    if scenario == "batches":
        return batches(folder, seed=seed, calls=asked.calls or 20_000)
    if scenario == "leases":
        return leases(folder, seed=seed, calls=asked.calls or 1000)
    if scenario in TESTS:
        return run_tests(TESTS[scenario], folder, asked, seed)
    seconds = asked.minutes * 60
    if scenario == "pipelines":
        items = asked.calls or max(200, int(seconds * 20))
        return pipelines(
            folder, broker=asked.broker, seed=seed, seconds=seconds, items=items, intensity=asked.intensity
        )
    calls = asked.calls or max(500, int(seconds * 40))
    return everything(folder, broker=asked.broker, seed=seed, seconds=seconds, calls=calls)


def run_tests(files: tuple[str, ...], folder: Path, asked: argparse.Namespace, seed: int) -> Verdict:
    """Run files of tests, each of which is done so many times."""
    verdict = Verdict(figures={"seed": seed, "runs": asked.runs})
    spread = ["-n", str(asked.jobs), "--dist=worksteal"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *files,
        "--timeout=100000",
        *spread,
    ]
    environment = {**os.environ, "CHAOS_RUNS": str(asked.runs), "CHAOS_SEED": str(seed), SWITCH: "1"}
    done = subprocess.run([*command, f"--basetemp={folder / 'tests'}"], env=environment, check=False)
    verdict.expect(done.returncode == 0, f"{' '.join(files)} fails")
    return verdict


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--scenario", default="everything", choices=SCENARIOS)
    parser.add_argument("--broker", default="redis", choices=["redis", "rabbitmq"])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--runs", type=int, default=100, help="of crash_points and cut_file")
    parser.add_argument("--jobs", type=int, default=2, help="of crash_points and cut_file: tests at once")
    parser.add_argument(
        "--calls", type=int, help="calls or items, how many; by default as many as take about that long"
    )
    parser.add_argument(
        "--intensity", type=float, default=1.0, help="of pipelines: 2 is twice as many faults"
    )
    parser.add_argument("--folder", help="where files and logs go, and stay")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
