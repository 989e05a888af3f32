"""What people read of a tool's batches, limits and retries."""

from __future__ import annotations

from dataclasses import replace

from penstock.cli.delivery_lines import delivery_lines
from penstock_plugins.delivery import Batching, Delivery, LimitRule, RetryRule
from penstock_plugins.tool import Traits
from tests.support.bundles import make_tool


def test_a_tool_that_declares_nothing_has_no_lines() -> None:
    """Its calls leave at once, and are not tried again."""
    assert delivery_lines(replace(make_tool(), traits=Traits())) == []


def test_keys_limits_and_retries_have_a_line_each() -> None:
    """With the figures."""
    delivery = Delivery(
        batching=Batching(key="{{input.host}}", max_size=10),
        limits=(
            LimitRule(key="a", concurrency=1),
            LimitRule(key="b", rate_per_s=0.5, burst=2),
            LimitRule(key="c"),
        ),
        retry=RetryRule(max_attempts=4),
    )

    lines = delivery_lines(replace(make_tool(), traits=Traits(retryable=True), delivery=delivery))

    assert lines == [
        ("batches", "by {{input.host}}: up to 10 calls or 1.0 MB, after 20 ms at the latest"),
        ("limit", "a: 1 batch at once"),
        ("limit", "b: 0.5 calls/s, 2 in a burst"),
        ("limit", "c: set by the operator"),
        ("retries", "4 attempts, pauses up to 0.1 s, later up to 5.0 s"),
    ]


def test_pauses_of_retries_never_exceed_their_cap() -> None:
    """Also where they would begin above it."""
    delivery = Delivery(retry=RetryRule(base_ms=9000, cap_ms=1000))

    (line,) = delivery_lines(replace(make_tool(), traits=Traits(retryable=True), delivery=delivery))

    assert line == ("retries", "3 attempts, pauses up to 1.0 s")
