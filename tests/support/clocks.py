"""Clocks that are wrong, for processes that tests start."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def skewed(offset_s: int) -> dict[str, str]:
    """An environment in which the wall clock is off. The monotonic one is nobody's to set."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed (on Debian: apt-get install faketime)")
    shown = subprocess.run(
        ["faketime", "-f", f"{offset_s:+d}s", "env"], capture_output=True, text=True, check=True
    )
    found = dict(line.split("=", 1) for line in shown.stdout.splitlines() if "=" in line)
    names = ("LD_PRELOAD", "FAKETIME")
    return {name: found[name] for name in names} | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}
