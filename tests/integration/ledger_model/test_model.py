"""Random histories of buffers, leases and rates on a real Redis give what a simple model says."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.integration.ledger_model.machine import BuffersLeasesAndRates
from tests.support.redis_server import RedisServer

#: Histories that are tried; a longer run says so in its environment.
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "60"))
STEPS = 80


@pytest.mark.timeout(600 + EXAMPLES)  # a history that fails is made shorter, which takes minutes
def test_B1_B2_B4_no_history_loses_doubles_mixes_or_exceeds_anything(redis_server: RedisServer) -> None:
    """Producers, dispatchers, workers and an operator do what they like, while hours pass."""
    BuffersLeasesAndRates.server_url = redis_server.url
    case = BuffersLeasesAndRates.TestCase
    case.settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()
