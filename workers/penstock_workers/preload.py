"""What pool processes share with their parent: imported before the fork, and not written to after it.

A page that both have is there once, until one of them writes to it. Python's collector writes to every object
that it looks at; so what is there before the fork is taken out of its sight. Importing wasmtime maps its
library and runs nothing of it; what is loaded with it before the fork is `inherited`'s.
"""

from __future__ import annotations

import gc
import linecache
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock_workers.paths import SandboxPath

#: What a pool process would import itself, most of it when the first call comes.
_MODULES = (
    "importlib.resources.readers",  # wasmtime's, to find its library
    "jsonschema_rs",
    "penstock_workers.artifacts.client",
    "penstock_workers.cache",
    "penstock_workers.crossing",
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
    "penstock_workers.wasi_functions",
    "wasmtime.component",
)

#: Celery writes a traceback of each task that fails, and reads these for it: a megabyte, once they are lines.
_IN_TRACEBACKS = ("celery.app.trace", "penstock_workers.celery_app")


def before_fork(path: SandboxPath = "auto", *, then: Callable[[], None] | None = None) -> None:
    """In the worker's parent, before it makes a pool process.

    It freezes only the first time: what it makes while it runs may become garbage, and must then be found.

    Args:
        path: how calls are to reach wasmtime; whether they can is found out in a process of its own.
        then: what else is made once, after the imports and before the freeze.
    """
    if gc.get_freeze_count():
        _forget_lookups()
        return
    for name in _MODULES:
        import_module(name)
    for name in _IN_TRACEBACKS:
        linecache.getlines(str(import_module(name).__file__))
    if path != "public":
        import_module("penstock_workers.paths").settle_before_fork()
    if then is not None:
        then()
    gc.collect()
    gc.freeze()
    _forget_lookups()


def after_fork_child() -> None:
    """In a pool process, first thing: its collector leaves alone whatever it inherited."""
    gc.freeze()


def _forget_lookups() -> None:
    """Empty Python's cache of attributes.

    Its 4,096 entries count their names, of which importing wasmtime alone leaves two thousand. A pool process
    that replaces one would write to the page of a name that it never uses.
    """
    if sys.version_info < (3, 13):  # deprecated from then on
        sys._clear_type_cache()  # noqa: SLF001 - there is no other way
