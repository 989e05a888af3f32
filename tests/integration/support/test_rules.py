"""The rules of the root conftest, tried on small runs of pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

_LEAVES_A_PROCESS = """
import subprocess, sys
def test_leaves_a_process():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
def test_the_next_one_is_fine():
    pass
"""
_LEAVES_A_DAEMON = """
import subprocess, sys
def test_leaves_a_daemon():
    child = "import time; time.sleep(1000)"
    source = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    subprocess.run([sys.executable, "-c", source], check=True)
"""
_FAILS_BESIDE_A_PROCESS = """
import sys
from tests.support.processes import Process
def test_fails(tmp_path):
    with Process([sys.executable, "-c", "print('its last words')"], name="worker", folder=tmp_path) as worker:
        worker.wait()
        assert False
"""
_SKIPS = """
import pytest
@pytest.mark.skip(reason="no server here")
def test_skipped():
    pass
"""
_SKIPS_THE_MODULE = """
import pytest
pytest.skip("no server here", allow_module_level=True)
"""


def run_pytest(source: str, folder: Path, *, ci: bool) -> tuple[int, str]:
    """Run a module of tests under our conftest: the exit status and what it printed."""
    (folder / "test_inner.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-ra", "--no-fold-skipped", folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CI": "true" if ci else ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_process_left_behind_fails_the_test_that_left_it(tmp_path: Path) -> None:
    """That test and no other; the report names the command."""
    status, output = run_pytest(_LEAVES_A_PROCESS, tmp_path, ci=False)

    assert status == 1
    assert "Left running" in output
    assert "time.sleep(1000)" in output
    assert "2 passed, 1 error" in output


def test_a_daemon_left_behind_fails_the_test_that_left_it(tmp_path: Path) -> None:
    """Although its parent has ended, so that it is nobody's child here."""
    status, output = run_pytest(_LEAVES_A_DAEMON, tmp_path, ci=False)

    assert status == 1
    assert "Left running" in output


def test_a_failure_shows_the_logs_of_what_runs(tmp_path: Path) -> None:
    """Else a failure in CI says nothing about its cause."""
    status, output = run_pytest(_FAILS_BESIDE_A_PROCESS, tmp_path, ci=False)

    assert status == 1
    assert "its last words" in output.partition("log of worker")[2]


def test_a_skip_is_a_failure_in_ci(tmp_path: Path) -> None:
    """The reason is kept."""
    status, output = run_pytest(_SKIPS, tmp_path, ci=True)

    assert status == 1
    assert "CI allows no skips: Skipped: no server here" in output


def test_a_skipped_module_is_a_failure_in_ci(tmp_path: Path) -> None:
    """No test of it is even collected, which must not go unnoticed."""
    status, output = run_pytest(_SKIPS_THE_MODULE, tmp_path, ci=True)

    assert status != 0
    assert "CI allows no skips: Skipped: no server here" in output


def test_elsewhere_a_skip_is_named_with_its_reason(tmp_path: Path) -> None:
    """A machine without a server runs what it can."""
    status, output = run_pytest(_SKIPS, tmp_path, ci=False)

    assert status == 0
    assert "SKIPPED test_inner.py::test_skipped - Skipped: no server here" in output
