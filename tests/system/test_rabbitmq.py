"""The RabbitMQ profile of `compose/`: doorbells through RabbitMQ, the ledger in Redis."""

from __future__ import annotations

from pathlib import Path

import docker

from penstock_scheduler import Producer
from tests.support.compose_project import ComposeProject, publish_text
from tests.support.docker_engine import DockerEngine


def test_calls_are_rung_through_rabbitmq(
    engine: DockerEngine, docker_client: docker.DockerClient, ingredients: tuple[str, Path], tmp_path: Path
) -> None:
    """`./init.py --broker rabbitmq` is all that it takes; RabbitMQ runs as hardened as the rest."""
    image, wheels = ingredients
    project = ComposeProject(
        engine, tmp_path / "compose", name="rabbit", wheels=wheels, base_image=image, broker="rabbitmq"
    )
    try:
        project.up("rabbitmq", "redis", "worker-a", "scheduler-a")
        publish_text(project)
        with Producer(project.settings_of("producer")) as producer:
            rows = ({"text": f"Row {n}"} for n in range(200))
            results = producer.map("text.slug", rows).result(wait_s=60)
        rabbit = project.container(docker_client, "rabbitmq")
        host = rabbit.attrs["HostConfig"]

        assert [result.data for result in results] == [{"slug": f"row-{n}"} for n in range(200)]
        assert project.environment_of("producer")["PENSTOCK_BROKER_URL"].startswith("amqp://")
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["Init"]) == (True, ["ALL"], True)
        assert rabbit.exec_run("id -u")[1].strip() != b"0"
    finally:
        project.down()
