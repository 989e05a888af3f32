"""The example of docs/celery.md runs as it stands there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.foreign_canvas.conftest import Site
from tests.support.waiting import wait_until

PAGE = (Path(__file__).parents[3] / "docs" / "celery.md").read_text()


def test_L7_the_example_of_the_docs_runs(published: Site, tmp_path: Path) -> None:
    """As a program, beside a worker of its own; it prints what the page says."""
    published.worker()
    published.scheduler()
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (commands,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "shop.py").write_text(program)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pidfile = tmp_path / "shop.pid"

    try:
        done = subprocess.run(
            ["sh", "-ec", commands],
            cwd=tmp_path,
            env={**os.environ, **published.broker.environment, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
    finally:
        if pidfile.exists():
            with suppress(ProcessLookupError):
                os.kill(int(pidfile.read_text()), signal.SIGTERM)
    wait_until(lambda: not pidfile.exists(), 60, "its worker has ended")

    assert done.returncode == 0, done.stderr
    said = re.search(r"It prints (\d+) and (\d+)\.", PAGE)
    assert said is not None
    assert done.stdout.split()[-2:] == list(said.groups())


pytestmark = pytest.mark.timeout(300)
