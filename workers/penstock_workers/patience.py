"""Asks the ledger until it answers: a Redis that restarts must not cost a result."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import redis

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: How long a finished result waits for a Redis that does not answer before it is given up. The lease has
#: ended by then, and the calls run again elsewhere.
PATIENCE_S = 60.0
#: Seconds between two tries.
RETRY_S = 0.2
#: What a Redis raises that is away, starting, failing over or full: it may answer later.
NO_ANSWER = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.BusyLoadingError,
    redis.ReadOnlyError,
    redis.OutOfMemoryError,
)


def patiently(ask: Callable[[], T]) -> T:
    """Ask until there is an answer. Only for requests that may be sent again, as every script may.

    Raises:
        redis.RedisError: there was none for `PATIENCE_S`.
    """
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except NO_ANSWER as error:
            if time.monotonic() > give_up_at:
                raise
            logger.warning("The ledger does not answer, trying again: %s", error)
            time.sleep(RETRY_S)
