"""What is loaded before the fork, in processes of their own: this one has loaded it all."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def told_by(program: str) -> Any:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_parent_runs_nothing_of_wasmtime() -> None:
    """It maps the library: no engine, and no thread that a fork would lose."""
    told = told_by("""
import gc, json, os
from penstock_workers import preload
from penstock_workers.engine import engines_made
preload.before_fork()
print(json.dumps([engines_made(), len(os.listdir("/proc/self/task")), gc.get_freeze_count() > 10_000]))
""")

    assert told == [0, 1, True]


def test_a_pool_process_inherits_whether_the_lean_path_fits() -> None:
    """It was tried in a process that has ended, and is not tried again."""
    told = told_by("""
import json
from penstock_workers import preload
preload.before_fork()
from penstock_workers.engine import engines_made
from penstock_workers.paths import lean_problem
print(json.dumps([lean_problem(), engines_made()]))
""")

    assert told == [None, 0]


def test_a_pool_process_imports_nothing_more() -> None:
    """Neither of ours nor of what we stand on, up to the end of its first calls."""
    told = told_by("""
import json, sys
from penstock_workers import preload
from penstock_plugins.schema import ParamsSchema
preload.before_fork()
there = set(sys.modules)
from penstock_workers.lean.self_test import differences
assert differences() == []
ParamsSchema({"type": "object"}).check({})
ours = ("penstock", "wasmtime", "jsonschema_rs", "importlib")
print(json.dumps(sorted(name for name in set(sys.modules) - there if name.startswith(ours))))
""")

    assert told == []


def test_what_the_parent_makes_later_can_still_become_garbage() -> None:
    """Each pool process that is replaced would otherwise keep some of it for ever."""
    told = told_by("""
import gc, json, weakref
from penstock_workers import preload
class Knot: pass
preload.before_fork()
knot = Knot()
knot.itself = knot
seen = weakref.ref(knot)
preload.before_fork()
del knot
gc.collect()
print(json.dumps(seen() is None))
""")

    assert told is True
