"""Whether a failed call is tried again, and when (E-2). Pure, but for the dice."""

from __future__ import annotations

import random
from typing import Protocol

import orjson

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure
from penstock_workers.batch_calls import BatchCall
from penstock_workers.content import RETRY_AFTER_MAX_S

#: Failures that another time may not bring.
PASSING = frozenset({ErrorCode.TIMEOUT, ErrorCode.RATE_LIMIT, ErrorCode.DEPENDENCY_ERROR})


class RetryRule(Protocol):
    """How often and how patiently a tool's calls are tried again."""

    @property
    def max_attempts(self) -> int: ...

    @property
    def base_ms(self) -> int: ...

    @property
    def cap_ms(self) -> int: ...


def retry_delay_s(
    failure: ToolFailure, rule: RetryRule, *, attempts: int, retryable: bool, left_s: float | None
) -> float | None:
    """Seconds until a failed call is tried again. None: it is not.

    Full jitter: anything between nothing and the back-off, so that calls that failed together do not come
    back together. What a RATE_LIMIT asks for is waited for, and jitter added to it.

    Args:
        failure: why the call failed.
        rule: how often and how patiently.
        attempts: executions that failed, this one included.
        retryable: whether running it twice is allowed at all.
        left_s: seconds to the deadline. None: there is none.
    """
    if not retryable or failure.code not in PASSING or attempts >= rule.max_attempts:
        return None
    backoff_ms = min(float(rule.cap_ms), rule.base_ms * 2.0 ** (attempts - 1))
    jitter_ms = random.uniform(0.0, backoff_ms)  # noqa: S311 -- nobody gains by guessing it
    delay_s = jitter_ms / 1000 + (pause_s(failure) or 0.0)
    if left_s is not None and delay_s >= left_s:
        return None
    return delay_s


def pause_s(failure: ToolFailure) -> float | None:
    """Seconds for which a RATE_LIMIT asks that nobody calls; None when it does not say."""
    if failure.code is not ErrorCode.RATE_LIMIT:
        return None
    wait = (failure.details or {}).get("retry_after_s")
    if not isinstance(wait, int | float) or isinstance(wait, bool) or not wait > 0:
        return None
    # A guest's own details may have any number under that name.
    return min(float(wait), RETRY_AFTER_MAX_S)


def retry_entry(call: BatchCall, delay_s: float) -> bytes:
    """What COMMIT is told of a call that is tried again: delay and attempts, its header, the call."""
    return b"%d %d\n%b\n%b" % (
        int(delay_s * 1000),
        call.attempts + 1,
        call.header_json,
        orjson.dumps(call.entry[1:]),
    )
