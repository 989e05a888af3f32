"""Items go through a pipeline while everything fails at random: each ends once, is undone once (B-4, L-2).

The short run; `make chaos SCENARIO=pipelines` has the long one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.cast import BrokerName
from tests.chaos.pipeline_scenario import pipelines
from tests.support.rabbit_server import missing_rabbit
from tests.support.redis_server import missing_redis

SECONDS, ITEMS, INTENSITY = 8.0, 200, 2.0


@pytest.mark.parametrize(("broker", "seed"), [("redis", 21), ("rabbitmq", 22)])
def test_B4_items_of_a_pipeline_survive_the_failing_of_everything(
    broker: BrokerName, seed: int, tmp_path: Path
) -> None:
    """Each has the result of its number, and what a failed one had done is undone once."""
    if (missing := missing_redis() or (missing_rabbit() if broker == "rabbitmq" else None)) is not None:
        pytest.skip(missing)
    verdict = pipelines(
        tmp_path,
        broker=broker,
        seed=seed,
        seconds=SECONDS,
        items=ITEMS,
        intensity=INTENSITY,
        processes=2,
        # How soon depends on who else uses this machine; make chaos has it quiet.
        overlap_s=1.0,
    )

    assert verdict.problems == [], verdict.figures
