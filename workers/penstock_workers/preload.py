"""What pool processes share with their parent: imported before the fork, and not written to after it.

A page that both have is there once, until one of them writes to it. Python's collector writes to every object
that it looks at; so what is there before the fork is taken out of its sight. Importing wasmtime maps its
library and runs nothing of it: engines are made after the fork.
"""

from __future__ import annotations

import gc
from importlib import import_module

#: What a pool process would import itself, most of it when the first call comes.
_MODULES = (
    "importlib.resources.readers",  # wasmtime's, to find its library
    "jsonschema_rs",
    "penstock_workers.artifacts.client",
    "penstock_workers.cache",
    "penstock_workers.executor",
    "penstock_workers.guard",
    "penstock_workers.lean.guest",
    "penstock_workers.lean.self_test",
    "penstock_workers.linking",
    "penstock_workers.log_sink",
    "penstock_workers.paths",
    "penstock_workers.sandbox",
    "penstock_workers.standstill",
    "penstock_workers.traps",
    "penstock_workers.wasi",
    "wasmtime.component",
)


def before_fork() -> None:
    """In the worker's parent, before it makes a pool process.

    Only the first time: what it makes while it runs may become garbage, and must then be found.
    """
    if gc.get_freeze_count():
        return
    for name in _MODULES:
        import_module(name)
    gc.collect()
    gc.freeze()


def after_fork_child() -> None:
    """In a pool process, first thing: its collector leaves alone whatever it inherited."""
    gc.freeze()
