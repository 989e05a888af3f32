"""URLs in both spellings, and the names of queues."""

from __future__ import annotations

import pytest

from penstock_broker_config.queues import declare, pool_queue, queue_name
from penstock_broker_config.urls import for_kombu, redacted
from penstock_plugins.errors import ConfigurationError


@pytest.mark.parametrize(
    ("ours", "kombus"),
    [
        ("redis://127.0.0.1:7001/2", "redis://127.0.0.1:7001/2"),
        ("rediss://u:p@h/0?ssl_cert_reqs=required", "rediss://u:p@h/0"),
        ("sentinel://u:p@a,b:7002/main/2", "sentinel://u:p@a:26379/2;sentinel://u:p@b:7002/2"),
        ("sentinels://[::1]:7001/main", "sentinel://[::1]:7001/0"),
        ("unix:///run/p.sock", "redis+socket:///run/p.sock"),
        ("unix:///run/p.sock?db=3", "redis+socket:///run/p.sock?virtual_host=3"),
        ("amqp://u:p@h//", "amqp://u:p@h//"),
    ],
)
def test_I6_urls_are_spelled_for_kombu(ours: str, kombus: str) -> None:
    """redis-py and kombu name a socket differently."""
    assert for_kombu(ours) == kombus


def test_a_password_never_reaches_a_message() -> None:
    """The user and the host stay readable."""
    assert redacted("redis://me:secret@host:7001/2") == "redis://me:***@host:7001/2"


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("high", "penstock.high"),
        ("penstock.bulk", "penstock.bulk"),
        ("pool.gpu", "penstock.pool.gpu"),
        ("penstock.pool.gpu-2", "penstock.pool.gpu-2"),
    ],
)
def test_I9_queues_have_short_and_full_names(given: str, full: str) -> None:
    """Both name the same queue."""
    assert queue_name(given) == full


@pytest.mark.parametrize("bad", ["", "fast", "penstock.fast", "pool.", "pool.A B", "penstock.pool.../x"])
def test_I9_an_unknown_queue_is_refused(bad: str) -> None:
    """With the names that exist."""
    with pytest.raises(ConfigurationError, match=r"high, default, bulk or pool\.NAME"):
        queue_name(bad)


def test_queues_are_quorum_queues_on_rabbitmq_only() -> None:
    """A list in Redis has no such argument."""
    assert declare(pool_queue("gpu"), "amqp://h").queue_arguments == {"x-queue-type": "quorum"}
    assert declare("penstock.default", "redis://h").queue_arguments is None
