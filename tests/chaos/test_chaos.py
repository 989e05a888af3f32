"""Nothing accepted is lost or recorded twice, while everything fails at random (B-4, E-4).

The short run. `make chaos` has the long one; a seed that it prints is run again with `make chaos SEED=…`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.cast import BrokerName
from tests.chaos.scenarios import everything
from tests.support.rabbit_server import missing_rabbit
from tests.support.redis_server import missing_redis

SECONDS, CALLS, INTENSITY = 10.0, 400, 2.5


@pytest.mark.parametrize(("broker", "seed"), [("redis", 11), ("rabbitmq", 12)])
def test_B4_what_was_accepted_survives_the_failing_of_everything(
    broker: BrokerName, seed: int, tmp_path: Path
) -> None:
    """Workers, dispatchers and the producer are killed, stopped and cut off, Redis is restarted."""
    if (missing := missing_redis() or (missing_rabbit() if broker == "rabbitmq" else None)) is not None:
        pytest.skip(missing)
    verdict = everything(
        tmp_path,
        broker=broker,
        seed=seed,
        seconds=SECONDS,
        calls=CALLS,
        intensity=INTENSITY,
        # How soon and how often depends on who else uses this machine; make chaos has it quiet.
        doorbells=None,
        overlap_s=1.0,
    )

    assert verdict.problems == [], verdict.figures
