"""Every hostile guest through a real worker, and after each of them a good call in the same pool process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_scheduler import Producer
from tests.conformance.guest import Guest
from tests.conformance.guests import GOOD, GUESTS, REFUSED
from tests.support.brokers import Broker
from tests.support.penstock_processes import Worker
from tests.support.redis_server import RedisServer

ALL = {**GUESTS, **REFUSED}


@pytest.fixture(scope="module", params=["auto", "public"])
def producer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Producer]:
    """A producer, and one worker with one pool process that has every guest in its catalog; on both paths."""
    folder = tmp_path_factory.mktemp("hostile")
    with RedisServer(folder / "redis", shared=True) as server:
        with server.client() as client:
            catalog = RedisCatalog(client, Keys())
            for guest in (GOOD, *ALL.values()):
                catalog.publish(guest.bundle, guest.tools)
        # What an operator writes: every guest may have GREETING, and nothing else of the environment.
        (folder / "worker").mkdir()
        (folder / "worker" / "penstock.toml").write_text(
            "\n".join(f'[plugins."{name}".env]\nGREETING = "hello"' for name in ALL)
        )
        worker = Worker(
            "--warm",
            "good",
            broker=Broker(server=server, url=server.url, redis=server),
            folder=folder / "worker",
            environment={
                "PENSTOCK_CAPABILITIES": '["log", "env"]',
                "PENSTOCK_OVERRUN_GRACE_S": "20",
                "PENSTOCK_SANDBOX_PATH": request.param,
            },
        )
        worker.shared = True
        with worker, Producer.connect(server.url) as producer:
            yield producer


@pytest.mark.parametrize("guest", ALL.values(), ids=list(ALL))
def test_W10_the_pool_process_outlives_every_guest(producer: Producer, guest: Guest) -> None:
    """The guest ends as it must, and the next good call has the same process to itself."""
    before = producer.submit("good.run", dict(GOOD.params)).result(wait_s=60)

    result = producer.submit(f"{guest.name}.run", dict(guest.params)).result(wait_s=60)
    after = producer.submit("good.run", dict(GOOD.params)).result(wait_s=60)

    assert (result.error and result.error.code) == guest.code, result
    assert after.success
    assert after.metadata.worker == before.metadata.worker
