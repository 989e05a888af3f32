"""What pool processes keep of the memory that they free."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

#: Fills and frees a heap twice; prints whether the rule was set, and page faults of the second time.
_PROGRAM = """
import resource
from penstock_workers.heap import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fill():
    blocks = [bytes(2048) for _ in range(4096)]
    del blocks

kept = keep_freed_memory() if {asked} else False
fill()
before = faults()
fill()
print(kept, faults() - before)
"""
#: Pages of the 8 MiB that the program fills.
_PAGES = 2048

_SAID_BY = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the rule is one of glibc's")


def run(*, asked: bool, **environment: str) -> tuple[bool, int]:
    """What the program prints."""
    said = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(asked=asked)],
        env={**{k: v for k, v in os.environ.items() if k not in _SAID_BY}, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kept, faults = said.split()
    return kept == "True", int(faults)


def test_freed_memory_is_there_for_the_next_batch() -> None:
    """The kernel is asked for nothing the second time; without the rule, for nearly all of it."""
    kept, faults = run(asked=True)
    _, faults_without = run(asked=False)

    assert kept
    assert faults < _PAGES / 10
    assert faults_without > _PAGES / 2


@pytest.mark.parametrize("name", _SAID_BY)
def test_what_the_operator_says_holds(name: str) -> None:
    """Whoever sets glibc's own variables has chosen."""
    kept, _ = run(asked=True, **{name: "glibc.malloc.arena_max=4" if name == "GLIBC_TUNABLES" else "131072"})

    assert not kept
