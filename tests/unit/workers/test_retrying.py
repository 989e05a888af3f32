"""Whether a failed call is tried again, and when (E-2)."""

from __future__ import annotations

import pytest

from penstock_broker_config.ledger import CallEntry
from penstock_plugins.delivery import RetryRule
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure
from penstock_workers.batch_calls import BatchCall
from penstock_workers.retrying import PASSING, pause_s, retry_delay_s, retry_entry

RULE = RetryRule()


def failure(code: ErrorCode, **details: object) -> ToolFailure:
    """A failure with that code."""
    return ToolFailure(code=code, message="x", details=dict(details) or None)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_E2_only_what_passes_is_tried_again(code: ErrorCode) -> None:
    """TIMEOUT, RATE_LIMIT and DEPENDENCY_ERROR: another time may not bring them."""
    delay_s = retry_delay_s(failure(code), RULE, attempts=1, retryable=True, left_s=None)

    assert (delay_s is not None) == (code in PASSING)
    assert {ErrorCode.TIMEOUT, ErrorCode.RATE_LIMIT, ErrorCode.DEPENDENCY_ERROR} == PASSING


def test_E2_only_what_may_run_twice_is_tried_again() -> None:
    """And no more often than the rule says: three attempts in all."""
    passing = failure(ErrorCode.TIMEOUT)

    def tried(attempts: int, *, retryable: bool) -> bool:
        return retry_delay_s(passing, RULE, attempts=attempts, retryable=retryable, left_s=None) is not None

    assert [tried(n, retryable=True) for n in (1, 2, 3, 4)] == [True, True, False, False]
    assert not tried(1, retryable=False)


@pytest.mark.parametrize(("attempts", "most_s"), [(1, 0.1), (2, 0.2), (3, 0.4), (7, 5.0), (60, 5.0)])
def test_E2_the_delay_is_anything_up_to_the_back_off(attempts: int, most_s: float) -> None:
    """100 ms, doubled each time, 5 s at most; full jitter, so that calls do not come back together."""
    rule = RetryRule(max_attempts=100)
    delays = [
        retry_delay_s(failure(ErrorCode.TIMEOUT), rule, attempts=attempts, retryable=True, left_s=None) or 0.0
        for _ in range(500)
    ]

    assert 0.9 * most_s < max(delays) <= most_s
    assert min(delays) < 0.1 * most_s


def test_E2_what_a_rate_limit_asks_for_is_waited_for() -> None:
    """And not tried at all when the deadline comes first."""
    limited = failure(ErrorCode.RATE_LIMIT, retry_after_s=2.0)

    delay_s = retry_delay_s(limited, RULE, attempts=1, retryable=True, left_s=10)
    late = retry_delay_s(limited, RULE, attempts=1, retryable=True, left_s=1.5)

    assert delay_s is not None
    assert 2.0 <= delay_s <= 2.1
    assert late is None


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (failure(ErrorCode.RATE_LIMIT, retry_after_s=3), 3.0),
        (failure(ErrorCode.RATE_LIMIT), None),
        (failure(ErrorCode.RATE_LIMIT, retry_after_s=0), None),
        (failure(ErrorCode.RATE_LIMIT, retry_after_s="soon"), None),
        (failure(ErrorCode.RATE_LIMIT, retry_after_s=True), None),
        # A guest's own details are not checked: no key pauses for longer than a day.
        (failure(ErrorCode.RATE_LIMIT, retry_after_s=1e300), 86_400.0),
        (failure(ErrorCode.TIMEOUT, retry_after_s=3), None),
    ],
)
def test_E2_a_rate_limit_pauses_its_key_for_as_long_as_it_says(
    found: ToolFailure, wanted: float | None
) -> None:
    """No other failure does."""
    assert pause_s(found) == wanted


def test_E2_a_call_that_is_tried_again_is_the_call_that_was_signed() -> None:
    """Its header and MAC travel with it, and its attempts are counted."""
    call = BatchCall(CallEntry(7, '{"a": "\\n"}', "mac"), "j", 1, False, b'{"v":1}', 0, attempts=1)

    head, header, entry = retry_entry(call, 0.25).split(b"\n", 2)

    assert (head, header) == (b"250 2", b'{"v":1}')
    assert entry == b'["{\\"a\\": \\"\\\\n\\"}","mac"]'
