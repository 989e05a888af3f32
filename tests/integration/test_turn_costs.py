"""What a real worker says that calls cost: time for chunks, and fuel for turns where it is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_broker_config.keys import Keys
from penstock_scheduler import Producer
from penstock_workers.recording import FUEL_PER_US
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.publishing import publish_shipped
from tests.support.redis_server import RedisServer


@pytest.mark.parametrize("metered", [True, False])
def test_B2_fuel_is_what_turns_are_charged_for(
    redis_server: RedisServer, tmp_path: Path, metered: bool
) -> None:
    """As much as the results say that was used; where it is not counted there is the time only."""
    publish_shipped(redis_server, "text")
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    environment = {"PENSTOCK_LIMITS": '{"fuel": 1000000000}'} if metered else {}
    with (
        Producer.connect(redis_server.url) as producer,
        Worker(broker=broker, folder=tmp_path, environment=environment),
        redis_server.client() as client,
    ):
        result = producer.submit("text.stats", {"text": "so many words " * 2000}).result(wait_s=60)
        costs = {name.decode(): float(cost) for name, cost in client.hgetall(Keys().costs).items()}

    assert result.success, result.error
    turns = [cost for name, cost in costs.items() if name.endswith(":turn")]
    times = [cost for name, cost in costs.items() if not name.endswith(":turn")]
    assert len(times) == 1
    assert times[0] > 0
    fuel = result.metadata.fuel
    assert turns == ([] if fuel is None else [pytest.approx(fuel / FUEL_PER_US, abs=0.1)])
    assert (fuel is not None) == metered
