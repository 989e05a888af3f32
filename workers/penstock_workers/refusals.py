"""What a worker refuses to start with, and why. Each check raises `UnsafeStartError` with the reason."""

from __future__ import annotations

from penstock_plugins.errors import UnsafeStartError

_POOL_REASONS = {
    "gevent": "its patched threads never run while a guest runs, so that no deadline would stop a guest",
    "eventlet": "its patched threads never run while a guest runs, so that no deadline would stop a guest",
    "threads": "wasmtime's Python binding keeps host exceptions in one global, and they reach other calls",
    "thread": "wasmtime's Python binding keeps host exceptions in one global, and they reach other calls",
    "solo": "a guest that must be ended with its process would end the worker",
}


def refuse_pool(pool: str) -> None:
    """Only processes isolate calls from each other.

    Args:
        pool: Celery's name of the pool, or the module of its class.

    Raises:
        UnsafeStartError: the pool is none of processes.
    """
    name = pool.rpartition(".")[2].removeprefix("_")
    if name in {"prefork", "processes"}:
        return
    reason = _POOL_REASONS.get(name, "calls are isolated by one process for each")
    raise UnsafeStartError(f"The {name} pool is refused: {reason}. Use --pool prefork")


def refuse_late_faulthandler(engines: int, *, enabled: bool) -> None:
    """Enabled after an engine exists, faulthandler turns a guest's trap into the worker's crash.

    Args:
        engines: how many this process has made so far.
        enabled: whether faulthandler is.

    Raises:
        UnsafeStartError: there are engines, and faulthandler would be enabled only now.
    """
    if engines and not enabled:
        raise UnsafeStartError(
            "faulthandler would be enabled after a wasmtime engine was made, and a guest trap would end the "
            "process: enable it at the start (PYTHONFAULTHANDLER=1), and make engines afterwards"
        )


def refuse_wasmtime_before_fork(engines: int) -> None:
    """Nothing of wasmtime may run before the fork but what loads: threads do not survive it, compiling hangs.

    Args:
        engines: how many were made so far, without the worker's own.

    Raises:
        UnsafeStartError: there are some.
    """
    if engines:
        raise UnsafeStartError(
            "A wasmtime engine was made before the pool process was forked: its deadlines would never fire. "
            "Start the worker with `penstock worker`, and use no Executor in the program that starts it"
        )
