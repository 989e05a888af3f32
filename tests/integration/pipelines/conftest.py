"""A line of pipelines: one Redis with a worker and a scheduler, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from penstock_broker_config.keys import Keys
from tests.chaos.witness import publish_witness
from tests.support.lab import publish_lab
from tests.support.pipelines.running import Line
from tests.support.pipelines.toys import publish_toys
from tests.support.publishing import publish_shipped
from tests.support.redis_server import RedisServer, missing_redis


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A worker with two processes and a scheduler; `text`, `lab`, `toy` and `witness` are published."""
    if (missing := missing_redis()) is not None:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("line")
    with RedisServer(folder / "redis", shared=True) as server, ExitStack() as stack:
        publish_shipped(server, "text")
        line = Line(server, folder, stack, shared=True)
        publish_lab(line.client)
        publish_toys(line.client)
        publish_witness(line.client, Keys())
        # Nobody is lost here: a lease that a busy machine cannot outlast.
        line.worker(PENSTOCK_LEASE_S="30")
        line.scheduler()
        yield line
