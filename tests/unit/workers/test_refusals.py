"""What a worker refuses to start with: each with the reason, and nothing else."""

from __future__ import annotations

import pytest

from penstock_plugins.errors import UnsafeStartError
from penstock_workers.refusals import (
    refuse_late_faulthandler,
    refuse_pool,
    refuse_wasmtime_before_fork,
)


@pytest.mark.parametrize("pool", ["prefork", "processes", "celery.concurrency.prefork"])
def test_S3_pools_of_processes_pass(pool: str) -> None:
    """By Celery's name, or by the module of the pool's class."""
    refuse_pool(pool)


@pytest.mark.parametrize(
    "pool",
    ["gevent", "eventlet", "threads", "solo", "celery.concurrency.gevent", "celery.concurrency.thread"],
)
def test_S3_every_other_pool_is_refused_with_what_to_use(pool: str) -> None:
    """Whatever it is called."""
    with pytest.raises(UnsafeStartError, match="--pool prefork"):
        refuse_pool(pool)


def test_S3_an_engine_before_the_fork_is_refused() -> None:
    """Its deadlines would never fire."""
    refuse_wasmtime_before_fork(0)

    with pytest.raises(UnsafeStartError, match="before the pool process was forked"):
        refuse_wasmtime_before_fork(1)


def test_S3_faulthandler_enabled_too_late_is_refused() -> None:
    """After an engine only; before it, or enabled already, is as it should be."""
    refuse_late_faulthandler(0, enabled=False)
    refuse_late_faulthandler(3, enabled=True)

    with pytest.raises(UnsafeStartError, match="PYTHONFAULTHANDLER"):
        refuse_late_faulthandler(1, enabled=False)
