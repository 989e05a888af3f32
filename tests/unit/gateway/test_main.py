"""The program's very first moments."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

from penstock.__main__ import main


def test_ctrl_c_while_it_loads_is_quiet(tmp_path: Path) -> None:
    """As it is later: exit code 130, and no traceback."""
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")

    done = subprocess.run(
        [sys.executable, "-m", "penstock", "tools"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_program_is_what_python_m_runs() -> None:
    """So that this holds for both."""
    (program,) = entry_points(group="console_scripts", name="penstock")

    assert program.load() is main
