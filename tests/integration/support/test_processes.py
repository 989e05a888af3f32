"""Processes of the tests: they get ready or say why not, die as a group, and never outlive the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import leftovers
from tests.support.processes import Process
from tests.support.waiting import wait_until

#: Starts a child in its own group, says both ids and waits for ever.
_PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print("child", child.pid, flush=True)
time.sleep(1000)
"""

#: A test run that starts a process, says its id and is killed.
_KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from tests.support.processes import Process
source = "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"
process = Process([sys.executable, "-c", source], name="left", folder=Path(sys.argv[1]))
process.start().wait_for_log(chr(10))
print(process.log(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def python(source: str, folder: Path, *, ready: str | None = None) -> Process:
    """A Python process that runs the source."""
    return Process([sys.executable, "-c", source], name="python", folder=folder, ready=ready)


def is_alive(pid: int) -> bool:
    """Whether a process of this run lives under the id."""
    return pid in leftovers.started_here()


def test_a_process_that_ends_early_is_quoted(tmp_path: Path) -> None:
    """The error has the exit status and the end of the log."""
    process = python("print('no such port'); raise SystemExit(3)", tmp_path, ready="Ready")

    with pytest.raises(RuntimeError, match=r"(?s)ended with 3.*no such port"):
        process.start()
    process.close()


def test_a_process_can_be_stopped_and_started_again(tmp_path: Path) -> None:
    """The second run is a new process, and its log is told from the first one's."""
    with python(
        "import os, time; print('up', flush=True); time.sleep(1000)", tmp_path, ready="up"
    ) as process:
        first = process.pid

        status = process.stop()
        process.start()

        assert status == -signal.SIGTERM
        assert process.pid != first
        assert (process.log(), process.log(all_runs=True)) == ("up\n", "up\nup\n")


def test_a_line_is_awaited_to_its_end(tmp_path: Path) -> None:
    """What follows the awaited text in its line may be written later."""
    source = "import time; print('id', end=' ', flush=True); time.sleep(0.3); print(7); time.sleep(1000)"
    with python(source, tmp_path, ready="id") as process:
        assert process.log() == "id 7\n"


def test_killing_a_process_kills_what_it_started(tmp_path: Path) -> None:
    """As when a host loses power: the child dies with the parent."""
    with python(_PARENT, tmp_path, ready="child") as process:
        child = int(process.log().split()[1])
        assert is_alive(child)

        process.kill()

        wait_until(lambda: not is_alive(child), 10, "the child is dead")


def test_a_signal_reaches_the_process_alone(tmp_path: Path) -> None:
    """A killed parent leaves its child, which is swept away when the process is closed."""
    with python(_PARENT, tmp_path, ready="child") as process:
        child = int(process.log().split()[1])

        process.signal(signal.SIGKILL)
        process.wait()

        assert is_alive(child)
        process.close()
        wait_until(lambda: not is_alive(child), 10, "the child is dead")


def test_a_daemon_is_found_by_the_mark_of_the_run(tmp_path: Path) -> None:
    """Its parent has ended and it is no child of ours; it is found nevertheless."""
    daemon = python(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        "print(child.pid)",
        tmp_path,
    )
    with daemon:
        daemon.wait()
        pid = int(daemon.log())

        found = leftovers.started_here()

        assert found[pid].parent != os.getpid()
        assert found[pid].marked


def test_a_killed_test_run_leaves_no_process(tmp_path: Path) -> None:
    """When the tests themselves are killed, the undertaker ends what they had started."""
    run = subprocess.Popen(
        [sys.executable, "-c", _KILLED_RUN, tmp_path],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        output, _ = run.communicate(timeout=60)

        wait_until(lambda: not is_alive(int(output)), 10, "what the killed run had started is dead")
    assert run.returncode == -signal.SIGKILL
