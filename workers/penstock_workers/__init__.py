"""Where calls run: engine, cache, host functions, sandbox, executor, and the Celery worker around them.

`from penstock_workers import Executor` runs calls in this process, with no broker. Importing the package
does no work and loads no wasmtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock_workers.executor import Executor

__all__ = ["Executor"]


def __getattr__(name: str) -> object:
    if name == "Executor":
        from penstock_workers.executor import Executor

        return Executor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
