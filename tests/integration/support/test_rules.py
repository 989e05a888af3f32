"""The rules of the root conftest, tried on small runs of pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

_TESTS = """
import subprocess, sys
import pytest
from tests.support.processes import Process

FOREVER = "import time; time.sleep(1000)"

def test_leaves_a_process():
    subprocess.Popen([sys.executable, "-c", FOREVER])

def test_leaves_a_daemon():
    source = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {FOREVER!r}])"
    subprocess.run([sys.executable, "-c", source], check=True)

def test_leaves_nothing():
    pass

def test_fails_beside_a_process(tmp_path):
    with Process([sys.executable, "-c", "print('its last words')"], name="worker", folder=tmp_path) as worker:
        worker.wait()
        assert False
"""
_SKIPPED_TEST = """
import pytest
@pytest.mark.skip(reason="no server here")
def test_skipped():
    pass
"""
_SKIPPED_MODULE = """
import pytest
pytest.skip("no module here", allow_module_level=True)
"""


def run_pytest(folder: Path, *, ci: bool) -> str:
    """Run the modules of tests in a folder under our conftest: what it prints."""
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        "-ra",
        "--no-fold-skipped",
        str(folder),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CI": "true" if ci else ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run of the tests prints that is not in CI."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "test_inner.py").write_text(_TESTS + _SKIPPED_TEST)
    return run_pytest(folder, ci=False)


@pytest.mark.parametrize("test", ["test_leaves_a_process", "test_leaves_a_daemon"])
def test_a_process_left_behind_fails_the_test_that_left_it(elsewhere: str, test: str) -> None:
    """The report names the command, although a daemon is nobody's child here."""
    assert f"ERROR test_inner.py::{test} - Failed: Left running:" in elsewhere
    assert elsewhere.count("-c import time; time.sleep(1000)") >= 2


def test_no_other_test_fails_for_what_was_left(elsewhere: str) -> None:
    """What was left is ended, and the next test starts afresh."""
    assert "at teardown of test_leaves_nothing" not in elsewhere
    assert "1 failed, 3 passed, 1 skipped, 2 errors" in elsewhere


def test_a_failure_shows_the_logs_of_what_was_started(elsewhere: str) -> None:
    """Else a failure in CI says nothing about its cause."""
    assert "its last words" in elsewhere.partition("log of worker")[2]


def test_a_skip_is_named_with_its_reason(elsewhere: str) -> None:
    """A machine without a server runs what it can, and says what it cannot."""
    assert "SKIPPED test_inner.py::test_skipped - Skipped: no server here" in elsewhere


@pytest.mark.parametrize(
    ("source", "reason"), [(_SKIPPED_TEST, "server"), (_SKIPPED_MODULE, "module")], ids=["test", "module"]
)
def test_a_skip_is_a_failure_in_ci(tmp_path: Path, source: str, reason: str) -> None:
    """Of a test, and of a module, of which no test is even collected; the reason is kept."""
    (tmp_path / "test_inner.py").write_text(source)

    assert f"CI allows no skips: Skipped: no {reason} here" in run_pytest(tmp_path, ci=True)
