"""pytest-celery on containers: its clusters are services of `compose/`, on an engine that the run starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import pytest
from celery import Celery
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBroker,
    CeleryWorkerCluster,
    RedisTestBackend,
)

from penstock_broker_config.app import create_app
from tests.support.base_image import base_image
from tests.support.compose_project import ComposeProject, collect_wheels, publish_text
from tests.support.docker_engine import DockerEngine, missing_docker
from tests.support.service_nodes import ServerContainer, WorkerContainer, WorkerNode
from tests.support.waiting import wait_until

#: Seconds: the first test waits for images to be made from nothing.
_TIMEOUT_S = 900
#: What a worker says of a plugin that was published while it runs.
_WARM = b"Published since, and warm: text@"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--screenshot FILE` keeps what Flower shows."""
    parser.addoption("--screenshot", type=Path, help="Where the picture of Flower is kept.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests, and no others, the time that images take."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerEngine]:
    """A Docker engine of the run."""
    if (missing := missing_docker()) is not None:
        pytest.skip(missing)
    with DockerEngine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="session")
def docker_client(engine: DockerEngine) -> Iterator[docker.DockerClient]:
    """pytest-celery's own client, of our engine."""
    client = engine.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def ingredients(
    docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The base image's name and the wheels, made side by side."""
    folder = tmp_path_factory.mktemp("ingredients")
    with ThreadPoolExecutor() as threads:
        image = threads.submit(base_image, docker_client, folder)
        wheels = threads.submit(collect_wheels, folder)
        yield image.result(), wheels.result()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def hosts(
    engine: DockerEngine,
    docker_client: docker.DockerClient,
    ingredients: tuple[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ComposeProject]:
    """`compose/` as it is: Redis, two worker hosts, two schedulers and Flower."""
    image, wheels = ingredients
    folder = tmp_path_factory.mktemp("hosts") / "compose"
    project = ComposeProject(engine, folder, name="hosts", wheels=wheels, base_image=image, broker="redis")
    project.up()
    publish_text(project)
    workers = [project.container(docker_client, name) for name in ("worker-a", "worker-b")]
    # Before a call makes one of them prepare it in a hurry.
    wait_until(lambda: all(_WARM in worker.logs() for worker in workers), 60, "the plugin is warm on both")
    yield project
    project.down()


@pytest.fixture
def celery_broker_cluster(hosts: ComposeProject, docker_client: docker.DockerClient) -> CeleryBrokerCluster:
    """The Redis of the doorbells."""
    url = hosts.environment_of("producer")["PENSTOCK_BROKER_URL"]
    return CeleryBrokerCluster(
        CeleryTestBroker(ServerContainer(hosts.container(docker_client, "redis"), url))
    )


@pytest.fixture
def celery_backend_cluster(hosts: ComposeProject, docker_client: docker.DockerClient) -> CeleryBackendCluster:
    """The Redis of the ledger, which is the same."""
    url = hosts.environment_of("producer")["PENSTOCK_REDIS_URL"]
    return CeleryBackendCluster(
        RedisTestBackend(ServerContainer(hosts.container(docker_client, "redis"), url))
    )


@pytest.fixture
def celery_setup_app(hosts: ComposeProject) -> Iterator[Celery]:
    """Penstock's own app, as an operator has it."""
    with create_app(hosts.settings_of("operator")) as app:
        yield app


@pytest.fixture
def celery_worker_cluster(
    hosts: ComposeProject, docker_client: docker.DockerClient, celery_setup_app: Celery
) -> CeleryWorkerCluster:
    """The two worker hosts."""
    return CeleryWorkerCluster(
        *(
            WorkerNode(WorkerContainer(hosts.container(docker_client, name)), celery_setup_app)
            for name in ("worker-a", "worker-b")
        )
    )
