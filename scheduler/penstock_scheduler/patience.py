"""How long a producer goes on asking a Redis that does not answer, and what it says when it gives up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import redis

from penstock_plugins.errors import OverloadedError, PenstockError, UnreachableError

#: Seconds of trying again for what a caller waits for: a submit, a look at a job.
BRIEF_S = 3.0
#: Seconds of trying again in the background and in long waits: a restart of Redis is passed over.
PATIENT_S = 60.0

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0

#: Passing troubles of a connection. Whatever was asked may be asked again: every script records once.
_PASSING = (redis.ConnectionError, redis.TimeoutError)
#: Connection errors that another try does not cure.
_LASTING = (redis.AuthenticationError, redis.exceptions.AuthorizationError)


class Patience:
    """Says how long to pause before asking again, until it is used up.

    Args:
        total_s: seconds after which an error is final.
        clock: monotonic seconds.
    """

    def __init__(self, total_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = clock() + total_s
        self._pause_s = _FIRST_PAUSE_S

    def pause_s(self, error: redis.RedisError) -> float:
        """Seconds to pause before the next try.

        Raises:
            UnreachableError: Redis has not answered for long enough, or refuses us.
            OverloadedError: Redis is full.
        """
        left_s = self._until - self._clock()
        if not isinstance(error, _PASSING) or isinstance(error, _LASTING) or left_s <= 0:
            raise in_our_words(error) from error
        pause_s = min(self._pause_s * random.uniform(0.5, 1.0), left_s)  # noqa: S311 - spreads retries, no secret
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return pause_s


def waiting_patience_s(wait_s: float | None) -> float:
    """How long a wait for results goes on asking a Redis that does not answer."""
    return PATIENT_S if wait_s is None else min(PATIENT_S, max(BRIEF_S, wait_s))


def in_our_words(error: redis.RedisError) -> PenstockError:
    """What an error of redis-py means to a caller, and what to do about it."""
    if isinstance(error, redis.OutOfMemoryError):
        return OverloadedError(
            "Redis is full: wait until calls have finished, or give it more memory", {"retry_after_s": 1.0}
        )
    if isinstance(error, _PASSING) and not isinstance(error, _LASTING):
        return UnreachableError(
            f"Redis does not answer ({error}): start one with `penstock up`, or check PENSTOCK_REDIS_URL"
        )
    return UnreachableError(f"Redis refuses: {error}")
