"""Rules for every test: the user's folders out of reach, no skips in CI, nothing left running."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

# Before anything of Penstock is imported: its settings find the user's folders when they are imported.
_HOME = Path(tempfile.mkdtemp(prefix="penstock-tests-"))
for _name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
    del os.environ[_name]
for _name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
    os.environ[_name] = str(_HOME / _name.split("_")[1].lower())
# Where `make tools` puts a Node.js when the machine has none. Behind the rest: the machine's own comes first.
os.environ["PATH"] += os.pathsep + str(Path(sys.executable).parent)
# A run in the background has Ctrl-C ignored, and so would have all that it starts, which tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

from tests.support import leftovers  # noqa: E402
from tests.support.processes import open_processes, witnesses  # noqa: E402
from tests.support.waiting import wait_until  # noqa: E402

pytest_plugins = ["tests.support.fixtures"]

#: CI sets this, as every CI does.
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
#: Seconds in which what a test has told to end may do so; only one that leaves something waits for so long.
_LAST_BREATH_S = 10.0

# No deadlines: a busy machine is no failure. In CI the inputs are the same each time; elsewhere new ones.
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if IN_CI else "dev")

_before = pytest.StashKey[dict[int, leftovers.Running]]()


def pytest_configure() -> None:
    """Mark what this run starts."""
    leftovers.mark_this_run()


def pytest_unconfigure() -> None:
    """Remove what Penstock wrote into "the user's" folders."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Divide the run by files, where several processes share it (`-n 2`)."""
    from tests.support.by_file import ByFile

    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the run was told to leave out, where nobody overlooks it."""
    if left_out := os.environ.get("TESTS_LEFT_OUT"):
        terminalreporter.write_line(f"Left out: {left_out}", yellow=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Remember what runs before the test."""
    item.stash[_before] = leftovers.started_here()
    witnesses[:] = [process for process in witnesses if process in open_processes]
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Fail a test that leaves processes behind, and end those, so that the next test is not disturbed."""
    result = yield
    before = item.stash[_before]

    def left() -> list[leftovers.Running]:
        return [process for pid, process in leftovers.started_here().items() if pid not in before]

    with suppress(TimeoutError):
        wait_until(lambda: not left(), _LAST_BREATH_S, "no process is left")
    if still := left():
        leftovers.end(still)
        pytest.fail("Left running:\n" + "\n".join(f"  {process}" for process in still), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of what runs with each failure; in CI, take a skip for one."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI allows no skips: {_reason(report)}"
    if report.failed:
        for process in witnesses:
            report.sections.append((f"log of {process.name}", process.tail()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, take a skipped module for a failure."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and CI allows no skips: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why it was skipped."""
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext
